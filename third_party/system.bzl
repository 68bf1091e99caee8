"""Libraries that a Debian package puts where the compiler looks by itself."""

_BUILD = """\
load("@rules_cc//cc:defs.bzl", "cc_library")

cc_library(
    name = "{name}",
    linkopts = {linkopts},
    visibility = ["//visibility:public"],
)
"""

def _system_library_impl(ctx):
    # Not a glob of the headers: Boost alone would make 14,000 targets, and the
    # sandbox lets /usr/include through anyway. One header stands for them all.
    if not ctx.path("/usr/include/" + ctx.attr.header).exists:
        fail("there is no /usr/include/%s: run tools/setup, or install %s" % (ctx.attr.header, ctx.attr.package))
    ctx.file("BUILD", _BUILD.format(name = ctx.name, linkopts = ctx.attr.linkopts))

system_library = repository_rule(
    doc = "The library @<name>, which a package of the system provides.",
    implementation = _system_library_impl,
    local = True,  # looks again in every server, so that installing helps
    attrs = {
        "header": attr.string(mandatory = True, doc = "one of its headers, under /usr/include"),
        "linkopts": attr.string_list(),
        "package": attr.string(mandatory = True, doc = "the Debian package to name where it is missing"),
    },
)
