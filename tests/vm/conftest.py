"""One run of a machine for each kernel, shared by its tests, and the table at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.vm.gate import required, vm_reason
from tests.vm.machine import run_machine
from tests.vm.table import rows, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.vm.machine import Findings

#: The root of each kernel: the agent needs a newer Python than bullseye has.
ROOTS = {"bookworm": "bookworm", "bullseye": "bookworm", "trixie": "trixie"}
#: Those whose BCC compiles for it as well.
OTHERS = {"bullseye": ("bullseye",)}
RUN_SECONDS = 3000
FINDINGS = pytest.StashKey[dict[str, "Findings"]]()


@pytest.fixture(scope="session")
def findings(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Findings]:
    """findings("bookworm"): what was found on its kernel."""
    if reason := vm_reason():
        if required():
            pytest.fail(f"required by OTELAUTO_REQUIRE, but cannot run: {reason}", pytrace=False)
        pytest.skip(reason)
    found = request.config.stash.setdefault(FINDINGS, {})

    def on(suite: str) -> Findings:
        if suite not in found:
            folder = tmp_path_factory.mktemp(suite)
            found[suite] = run_machine(
                suite,
                ROOTS[suite],
                folder,
                others=OTHERS.get(suite, ()),
                timeout_seconds=RUN_SECONDS,
            )
        return found[suite]

    return on


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    found = terminalreporter.config.stash.get(FINDINGS, {})
    if found:
        terminalreporter.section("kernels")
        terminalreporter.write(text(rows(found)))
