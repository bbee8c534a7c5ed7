"""The agent as a supervised process, and what its Prometheus page says.

The agent is known here by its command line, its readiness message and its page only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers.notify import Notify
from tests.servers.process import Running, StartError, Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Agent", "Sample", "agent_environment", "counts", "start_agent", "until"]

ROOT = Path(__file__).resolve().parents[2]
AGENT_VARIABLES = ("OTEL_", "BEYLA_", "OTELAUTO_")
COMMAND = (str(ROOT / ".venv" / "bin" / "otelauto"), "-config", "{config}")


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of the page."""

    name: str
    labels: dict[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Agent:
    """A running agent.

    Attributes:
        ready_seconds: from its start to its READY message.
        config: its configuration file.
    """

    running: Running
    metrics_port: int
    ready_seconds: float
    config: Path

    @property
    def pid(self) -> int:
        return self.running.pid

    def reload(self, text: str, *, timeout_seconds: float = 10) -> bool:
        """Write the file anew, send SIGHUP, wait for the end; whether it was applied."""
        before = self.outcomes()
        self.config.write_text(text)
        self.running.process.send_signal(signal.SIGHUP)
        assert until(lambda: self.outcomes() != before, timeout_seconds=timeout_seconds)
        return self.outcomes().get(("applied",), 0) > before.get(("applied",), 0)

    def outcomes(self) -> dict[tuple[str, ...], int]:
        """Reloads by outcome."""
        name = "otelauto_config_reloads_total"
        return counts(self.samples(), name, ["otelauto_outcome"])

    def page(self) -> str:
        """The text of /metrics, with the agent's own metrics."""
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        # No proxy of the environment stands between a test and its agent.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=10) as response:
            return str(response.read().decode())

    def samples(self) -> list[Sample]:
        """All samples of the page."""
        from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415

        return [
            Sample(sample.name, dict(sample.labels), sample.value)
            for family in text_string_to_metric_families(self.page())
            for sample in family.samples
        ]

    def requests(self, *labels: str, role: str = "server") -> dict[tuple[str, ...], int]:
        """Exchanges by the values of these labels, such as "http_route"."""
        return counts(self.samples(), f"http_{role}_request_duration_seconds_count", labels)


def counts(
    samples: Iterable[Sample], name: str, labels: Iterable[str]
) -> dict[tuple[str, ...], int]:
    """The sum of a name's samples, by the values of these labels; "" for a label not there."""
    found: dict[tuple[str, ...], int] = {}
    names = tuple(labels)
    for sample in samples:
        if sample.name == name:
            key = tuple(sample.labels.get(label, "") for label in names)
            found[key] = found.get(key, 0) + int(sample.value)
    return found


def start_agent(
    supervisor: Supervisor,
    directory: Path,
    config: str,
    *,
    metrics_port: int,
    command: tuple[str, ...] = COMMAND,
    env: dict[str, str] | None = None,
    notify: Notify | None = None,
    timeout_seconds: float = 40,
) -> Agent:
    """Start the agent on a configuration plus a Prometheus endpoint; wait until it is READY.

    The agent is told nothing else by the environment of the tests: its variables are removed. What
    it keeps over restarts it keeps in the directory.

    Raises:
        StartError: it ended, or was not ready in time.
    """
    path = directory / f"otelauto-{metrics_port}.yml"
    path.write_text(f"prometheus_export:\n  port: {metrics_port}\n{config}")
    begin = time.monotonic()
    with contextlib.ExitStack() as stack:
        if notify is None:
            socket_path = directory / f"notify-{metrics_port}-{time.monotonic_ns()}.sock"
            notify = stack.enter_context(Notify(socket_path))
        argv = [part.format(config=path) for part in command]
        variables = {
            **agent_environment(directory),
            "NOTIFY_SOCKET": notify.address,
            **(env or {}),
        }
        running = supervisor.start("otelauto", argv, env=variables)
        _await_ready(notify, running, begin + timeout_seconds)
        ready_seconds = time.monotonic() - begin
    return Agent(running, metrics_port, ready_seconds, path)


def agent_environment(directory: Path) -> dict[str, str | None]:
    """What to change in the environment of the tests for an agent: see start_agent."""
    clear = dict.fromkeys(name for name in os.environ if name.startswith(AGENT_VARIABLES))
    state = {
        "STATE_DIRECTORY": str(directory / "state"),
        "OTELAUTO_ROUTES_STATE_DIRECTORY": str(directory / "state" / "routes"),
    }
    return {**clear, **state}


def _await_ready(notify: Notify, running: Running, deadline: float) -> None:
    while not notify.wait(lambda notify: bool(notify.said("READY")), 0.1):
        if running.process.poll() is not None:
            raise StartError(
                f"the agent ended with {running.process.returncode}:\n{running.log_text()}"
            )
        if time.monotonic() > deadline:
            raise StartError(f"the agent is not ready:\n{running.log_text()}")


def until(condition: Callable[[], bool], *, timeout_seconds: float = 10) -> bool:
    """Ask every 20 ms until it is true; False if that takes too long."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
