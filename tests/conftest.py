"""What all tests share: the gate of live tests, free ports, supervised servers, clean hosts.

OTELAUTO_REQUIRE (a list with commas) names the kinds of test that must run: with "live" in it, a
live test, or a test of a real server, that cannot run here is a failure instead of a skip.
"""

from __future__ import annotations

import functools
import os
import signal
from typing import TYPE_CHECKING

import pytest
from tests.live.gate import live_reason, program_reason
from tests.live.leftovers import leftovers, observe
from tests.load.generator import build_loadgen
from tests.servers.agent import start_agent
from tests.servers.process import Supervisor, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.servers.agent import Agent

SUPERVISORS = pytest.StashKey[list[Supervisor]]()
live_reason_once = functools.cache(live_reason)


def pytest_configure() -> None:
    """A shell starts background jobs with SIGINT ignored; their programs would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def required(kind: str) -> bool:
    return kind in os.environ.get("OTELAUTO_REQUIRE", "").replace(" ", "").split(",")


def cannot_run(reason: str) -> None:
    """Skip with the reason, or fail where such tests are required."""
    if required("live"):
        pytest.fail(f"required by OTELAUTO_REQUIRE, but cannot run: {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("live") and (reason := live_reason_once()):
        cannot_run(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Attach what servers and agents wrote to the report of a failed test."""
    report = yield
    if report.failed:
        for supervisor in item.stash.get(SUPERVISORS, []):
            report.sections.append(("logs of processes", supervisor.log_tails()))
    return report


@pytest.fixture(autouse=True)
def clean_host(request: pytest.FixtureRequest) -> Iterator[None]:
    """A live test leaves no BPF object, mount, namespace or process behind."""
    if not request.node.get_closest_marker("live"):
        yield
        return
    before = observe()
    yield
    supervisors = request.node.stash.get(SUPERVISORS, [])
    sessions = {session for supervisor in supervisors for session in supervisor.sessions}
    assert {} == leftovers(before, sessions)


@pytest.fixture
def need() -> Callable[..., None]:
    """need("nginx", "wrk"): the test runs only where these programs are."""

    def check(*programs: str) -> None:
        if reason := program_reason(*programs):
            cannot_run(reason)

    return check


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def ports() -> Callable[[], int]:
    """Each call gives another free port."""
    given: set[int] = set()

    def another() -> int:
        number = free_port()
        while number in given:
            number = free_port()
        given.add(number)
        return number

    return another


@pytest.fixture
def supervisor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Supervisor]:
    """Starts processes for one test and ends them after it."""
    logs = tmp_path / "logs"
    logs.mkdir()
    supervisor = Supervisor(logs)
    request.node.stash.setdefault(SUPERVISORS, []).append(supervisor)
    yield supervisor
    supervisor.stop_all()


@pytest.fixture(scope="session")
def loadgen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exact load generator, compiled."""
    if reason := program_reason("gcc"):
        cannot_run(reason)
    return build_loadgen(tmp_path_factory.mktemp("loadgen"))


@pytest.fixture
def agent_on(
    supervisor: Supervisor, tmp_path: Path, ports: Callable[[], int]
) -> Callable[..., Agent]:
    """agent_on(8080, 9000): a ready agent on what listens there; more= adds YAML lines."""

    def start(*selected: int, more: str = "", env: dict[str, str] | None = None) -> Agent:
        text = ",".join(str(port) for port in selected)
        config = f'discovery:\n  instrument:\n    - open_ports: "{text}"\n{more}'
        return start_agent(supervisor, tmp_path, config, metrics_port=ports(), env=env)

    return start
