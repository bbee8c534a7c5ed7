"""The agent on Debian's kernels: its programs are accepted, and count exactly what happened."""

from __future__ import annotations

import pytest

#: (suite, ways of hooking that its kernel has): sock_*_length came with Linux 6.3.
KERNELS = (
    ("bookworm", ("syscall",)),
    ("bullseye", ("syscall",)),
    ("trixie", ("sock", "syscall")),
)
HOOKED = [(suite, way) for suite, ways in KERNELS for way in ways]
#: Half of what the kernel allows (BPF_COMPLEXITY_LIMIT_INSNS): other compilers give other code.
MOST_INSTRUCTIONS = 500_000

#: At least so many live tests must have run, and not been skipped.
LIVE_TESTS = 30

pytestmark = [pytest.mark.vm, pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.mark.parametrize(("suite", "ways"), KERNELS, ids=[suite for suite, _ in KERNELS])
def test_the_agent_finds_every_way_that_the_kernel_has(findings, suite, ways):
    assert list(ways) == findings(suite).report["ways"]


@pytest.mark.parametrize(("suite", "way"), HOOKED)
def test_the_verifier_accepts_every_program(findings, suite, way):
    compilers = findings(suite).report["verifier"][way]
    assert "" == compilers.get("error", "")
    refused = {
        (verdicts["compiler"], name): verdict["words"]
        for verdicts in compilers.values()
        for name, verdict in verdicts["programs"].items()
        if verdict["errno"]
    }
    assert {} == refused


@pytest.mark.parametrize(("suite", "way"), HOOKED)
def test_no_program_comes_near_the_verifiers_limit(findings, suite, way):
    compilers = findings(suite).report["verifier"][way]
    most = {
        verdicts["compiler"]: max(one["instructions"] for one in verdicts["programs"].values())
        for verdicts in compilers.values()
    }
    assert {} == {name: count for name, count in most.items() if count >= MOST_INSTRUCTIONS}


@pytest.mark.parametrize(("suite", "way"), HOOKED)
def test_the_self_test_passes_and_every_request_is_counted(findings, suite, way):
    """The server's own log agrees; nothing was lost."""
    found = findings(suite).report["agent"][way]
    assert "" == found.get("error", "")
    assert sum(found["logged"].values()) > 0
    assert found["logged"] == found["counted"]
    assert {} == found["losses"]


@pytest.mark.parametrize(("suite", "way"), HOOKED)
def test_nothing_is_left_in_the_kernel_after_an_end_of_any_kind(findings, suite, way):
    found = findings(suite).report["agent"][way]
    nothing = {"prog": [], "map": [], "link": []}
    assert (0, nothing) == (found["exit_code"], found["left"])
    assert nothing == found["left_by_kill"]


@pytest.mark.parametrize(("suite", "way"), HOOKED)
def test_odd_http_is_followed_as_on_every_kernel(findings, suite, way):
    """The live tests of HTTP/1, which hold on this machine's own kernel."""
    found = findings(suite).report["live"][way]
    assert "" == found.get("error", "")
    assert {} == found["failed"]
    assert found["passed"] >= LIVE_TESTS
