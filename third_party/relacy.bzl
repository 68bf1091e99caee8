"""Relacy's headers, as Debian's relacy-dev installs them, with what its memory model lacks put in."""

# (file, text, how often it is there, replacement)
_PATCHES = [
    # A load may return a value as old as seven stores, under every scheduler:
    # as it comes, one (full and bounded search) or two.
    (
        "defs.hpp",
        "size_t const atomic_history_size = 3;",
        1,
        "size_t const atomic_history_size = 8;",
    ),
    (
        "thread.hpp",
        "size_t const limit = c.is_random_sched() ? atomic_history_size  - 1: 1;",
        1,
        "size_t const limit = atomic_history_size - 1;",
    ),
    # C++20's release sequences: only read-modify-writes continue one, no longer
    # the later stores of the same thread.
    (
        "thread.hpp",
        "prev.busy_ && (rmw || (index_ == prev.thread_id_));",
        1,
        "prev.busy_ && rmw;",
    ),
    # Relacy's own generator has 2^17 states as far as a choice between two is
    # concerned: of 65,536 ways to interleave 16 steps of two threads it knows
    # fewer than 3,000. Vigna's splitmix64 instead, its state in c and x.
    (
        "random.hpp",
        "return ((x = x + c + (x << k)) >> 16);",
        1,
        """unsigned long long z = ((unsigned long long)c << 32 | x) + 0x9e3779b97f4a7c15ull;
        c = (unsigned)(z >> 32);
        x = (unsigned)z;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
        return (unsigned)((z ^ (z >> 31)) >> 32);""",
    ),
    # The stacks of a search's threads are not given back: 64 KiB each, and the
    # explainer searches anew from each failure. (One of the two is for another system.)
    (
        "platform.hpp",
        "//(::free)(fib.uc_stack.ss_sp);",
        2,
        "(::free)(fib.fib.uc_stack.ss_sp);",
    ),
]

_BUILD = """\
load("@rules_cc//cc:defs.bzl", "cc_library")

cc_library(
    name = "relacy",
    hdrs = glob(["relacy/**"]),
    includes = ["."],
    visibility = ["//visibility:public"],
)
"""

def _patched_relacy_impl(ctx):
    if not ctx.path("/usr/include/relacy/relacy.hpp").exists:
        fail("there is no /usr/include/relacy/relacy.hpp: run tools/setup, or install relacy-dev")
    copied = ctx.execute(["cp", "-R", "/usr/include/relacy", "relacy"])
    if copied.return_code != 0:
        fail("cannot copy Relacy's headers: " + copied.stderr)
    for name, text, times, replacement in _PATCHES:
        path = "relacy/" + name
        content = ctx.read(path)
        if content.count(text) != times:
            fail(("/usr/include/relacy/%s holds '%s' %d times, expected %d: this is another Relacy than the one that " +
                  "third_party/relacy.bzl patches; adapt the patch there") % (name, text, content.count(text), times))
        ctx.file(path, content.replace(text, replacement), executable = False)
    ctx.file("BUILD", _BUILD)

patched_relacy = repository_rule(
    doc = "@relacy: a patched copy of the system's headers.",
    implementation = _patched_relacy_impl,
    local = True,  # looks again in every server, so that installing helps
)
