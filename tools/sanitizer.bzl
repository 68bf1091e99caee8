"""Sanitized tests inside an ordinary build.

    unit_test(name = "ring_test", srcs = [...], deps = [...])  # under ASan and UBSan
    sanitized_test(name = "ring_threads_tsan_test", actual = ":ring_threads_test")
    cc_sanitized_test(name = "naive_tsan_test", srcs = [...], expect = "race")
    sanitized_binary(name = "play_tsan", actual = ":play")  # for a test to run and to judge

The binary and everything that it links are built with the sanitizer, so that one
`bazel test //...` runs plain and sanitized tests side by side. In a build that has a
sanitizer already (--config=tsan and its like) a unit_test is built with that.
Flags, as Bazel 4 ignores --features=tsan without a word.
"""

load("@rules_cc//cc:defs.bzl", "cc_binary")

# Not optimised, address,undefined compiles three times as fast, and sees more.
_FLAGS = {
    "address,undefined": ["-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"],
    # None: the code as it is shipped, with line numbers. DWARF 4 is for Valgrind, whose
    # release in Debian 12 gives up at clang's DWARF 5.
    "lines": ["-O2", "-gdwarf-4"],
    # gcc expands the memcpy of a message in line and does not instrument it: as a
    # call, the sanitizer's own memcpy sees it.
    "thread": ["-O1", "-fsanitize=thread", "-fno-builtin-memcpy"],
}

_COPT = "//command_line_option:copt"
_LINKOPT = "//command_line_option:linkopt"
_STRIP = "//command_line_option:strip"

def _sanitizer_transition_impl(settings, attr):
    copt = settings[_COPT]
    linkopt = settings[_LINKOPT]
    if not any([flag.startswith("-fsanitize=") for flag in copt]):
        flags = _FLAGS[attr.sanitizer]
        copt = copt + ["-g1"] + flags  # line numbers and no more
        linkopt = linkopt + flags
    return {
        _COPT: copt,
        _LINKOPT: linkopt,
        _STRIP: "never",  # else the reports have no line numbers. (What it was, Bazel 4 cannot tell.)
    }

_sanitizer_transition = transition(
    implementation = _sanitizer_transition_impl,
    inputs = [_COPT, _LINKOPT],
    outputs = [_COPT, _LINKOPT, _STRIP],
)

# Exit status 66 is a report of ThreadSanitizer's and nothing else.
# Without address randomisation, where that is allowed, as ThreadSanitizer cannot
# map its shadow on a kernel with vm.mmap_rnd_bits = 32.
_RUN = """\
#!/bin/bash
set -uo pipefail
export TSAN_OPTIONS="exitcode=66 ${TSAN_OPTIONS:-}"
fixed=()
if setarch -R true 2>/dev/null; then fixed=(setarch -R); fi
log="$TEST_TMPDIR/sanitizer.log"
"${fixed[@]}" "./%s" "$@" 2>&1 | tee "$log"
status=$?
"""

_VERDICT = {
    # A report fails the test even where the process that made it is a child
    # whose exit status the test throws away.
    "clean": """\
if grep -qE '(WARNING|ERROR): [A-Za-z]+Sanitizer|: runtime error: ' "$log"; then
  echo "FAILED: the sanitizer reported an error (above)"
  exit 1
fi
exit "$status"
""",
    "race": """\
if [[ $status -ne 66 ]] || ! grep -q 'WARNING: ThreadSanitizer: data race' "$log"; then
  echo "FAILED: ThreadSanitizer was to report a data race (exit status 66, not $status)"
  exit 1
fi
""",
}

def _sanitized_test_impl(ctx):
    if ctx.attr.expect == "race" and ctx.attr.sanitizer != "thread":
        fail("only the thread sanitizer reports races", "expect")
    actual = ctx.attr.actual[0][DefaultInfo]  # a transition makes a list of it
    binary = actual.files_to_run.executable
    launcher = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(
        output = launcher,
        content = _RUN % binary.short_path + _VERDICT[ctx.attr.expect],
        is_executable = True,
    )
    runfiles = ctx.runfiles(files = [binary])
    return [DefaultInfo(executable = launcher, runfiles = runfiles.merge(actual.default_runfiles))]

# Tag it nosan: --config=asan and its like would add a second sanitizer.
sanitized_test = rule(
    doc = "Runs `actual`, built with a sanitizer, and passes if the sanitizer says what is expected.",
    implementation = _sanitized_test_impl,
    test = True,
    attrs = {
        "actual": attr.label(
            doc = "a cc_binary or cc_test",
            cfg = _sanitizer_transition,
            executable = True,
            mandatory = True,
        ),
        "expect": attr.string(
            doc = "clean: exit status 0 and no report; race: at least one data race reported",
            default = "clean",
            values = ["clean", "race"],
        ),
        "sanitizer": attr.string(default = "thread", values = sorted(_FLAGS)),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
)

def _sanitized_binary_impl(ctx):
    actual = ctx.attr.actual[0][DefaultInfo]
    link = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.symlink(output = link, target_file = actual.files_to_run.executable, is_executable = True)
    return [DefaultInfo(executable = link, runfiles = actual.default_runfiles)]

sanitized_binary = rule(
    doc = "`actual`, built with a sanitizer.",
    implementation = _sanitized_binary_impl,
    executable = True,
    attrs = {
        "actual": attr.label(
            doc = "a cc_binary",
            cfg = _sanitizer_transition,
            executable = True,
            mandatory = True,
        ),
        "sanitizer": attr.string(default = "thread", values = sorted(_FLAGS)),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
)

def unit_test(name, size = "small", args = [], tags = [], shard_count = None, **kwargs):
    """A test under ASan and UBSan, or what sanitizer the build has; `kwargs` are cc_binary's."""
    cc_binary(
        name = name + "_bin",
        testonly = True,
        tags = ["manual"] + tags,
        **kwargs
    )
    sanitized_test(
        name = name,
        size = size,
        actual = name + "_bin",
        args = args,
        sanitizer = "address,undefined",
        shard_count = shard_count,
        tags = tags,
    )

def cc_sanitized_test(name, sanitizer = "thread", expect = "clean", size = "small", args = [], tags = [], **kwargs):
    """A test that is built with the sanitizer only; `kwargs` are cc_binary's."""
    cc_binary(
        name = name + "_bin",
        testonly = True,
        tags = ["manual"],  # else //... would build it plain as well
        **kwargs
    )
    sanitized_test(
        name = name,
        size = size,
        actual = name + "_bin",
        args = args,
        expect = expect,
        sanitizer = sanitizer,
        tags = tags + ["nosan"],
    )
