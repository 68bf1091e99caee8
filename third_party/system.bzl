"""Libraries that a Debian package puts where the compiler looks by itself."""

_BUILD = """\
load("@rules_cc//cc:defs.bzl", "cc_library")

cc_library(
    name = "{name}",
    defines = {defines},
    linkopts = {linkopts},
    visibility = ["//visibility:public"],
)
"""

def _system_library_impl(ctx):
    # Not a glob of the headers: Boost alone would make 14,000 targets, and the
    # sandbox lets /usr/include through anyway. One header stands for them all.
    found = ctx.path("/usr/include/" + ctx.attr.header).exists
    if not found and not ctx.attr.optional:
        fail("there is no /usr/include/%s: run tools/setup, or install %s" % (ctx.attr.header, ctx.attr.package))
    ctx.file("BUILD", _BUILD.format(
        name = ctx.name,
        defines = ctx.attr.defines if found else [],
        linkopts = ctx.attr.linkopts if found else [],
    ))

system_library = repository_rule(
    doc = "The library @<name>, which a package of the system provides.",
    implementation = _system_library_impl,
    local = True,  # looks again in every server, so that installing helps
    attrs = {
        "defines": attr.string_list(doc = "where it is installed"),
        "header": attr.string(mandatory = True, doc = "one of its headers, under /usr/include"),
        "linkopts": attr.string_list(),
        "optional": attr.bool(doc = "where it is missing, @<name> is empty"),
        "package": attr.string(mandatory = True, doc = "the Debian package to name where it is missing"),
    },
)
