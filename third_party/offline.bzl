"""Stand-ins for what Bazel 4 would otherwise download before it builds anything.

Resolving toolchains loads @rules_cc and @rules_java, and every test rule depends
on @remote_coverage_tools. A build without a network defines them here instead,
over Bazel's native rules. A workspace that uses millrace offline may call this too:

    load("@millrace//third_party:offline.bzl", "offline_repositories")
    offline_repositories()
"""

_CC_RULES = ["cc_binary", "cc_import", "cc_library", "cc_test", "cc_toolchain", "cc_toolchain_suite"]
_JAVA_RULES = ["java_binary", "java_import", "java_library", "java_runtime", "java_toolchain"]
_COVERAGE_TOOLS = ["coverage_report_generator", "lcov_merger"]

def _written_repository_impl(ctx):
    for path, content in ctx.attr.files.items():
        ctx.file(path, content)

_written_repository = repository_rule(
    implementation = _written_repository_impl,
    attrs = {"files": attr.string_dict(mandatory = True, doc = "path: content")},
)

def _lines(template, names):
    return "".join([template.format(name) + "\n" for name in names])

def offline_repositories():
    """Defines the three repositories, in a Bazel 4; newer ones bring their own."""

    # Debian's bazel-bootstrap does not know its own version.
    if native.bazel_version not in ["", None] and not native.bazel_version.startswith("4."):
        return
    _written_repository(
        name = "rules_cc",
        files = {
            "cc/BUILD": "",
            "cc/defs.bzl": _lines("{0} = native.{0}", _CC_RULES),
        },
    )
    _written_repository(
        name = "rules_java",
        files = {
            "java/BUILD": "",
            "java/defs.bzl": _lines("{0} = native.{0}", _JAVA_RULES),
        },
    )
    _written_repository(
        name = "remote_coverage_tools",
        files = {"BUILD": _lines('filegroup(name = "{}", visibility = ["//visibility:public"])', _COVERAGE_TOOLS)},
    )
