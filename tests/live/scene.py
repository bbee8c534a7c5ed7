"""One agent for many cases: what it has counted since a case began.

Starting an agent takes longer than most cases, so those that do not need one of their own share
one for each way of hooking. No test of a case lives here.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.servers.agent import Agent, Sample, counts, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.process import Supervisor

__all__ = ["LABELS", "Scene", "Since", "assert_seen", "losses"]

#: What most cases tell exchanges apart by.
LABELS = ("http_request_method", "http_route", "http_response_status_code", "error_type")
_SETTLE_SECONDS = 0.1
#: How far two clocks may be apart, of which one is read in the kernel and one by the program.
EXACT_SECONDS = 0.002


def _key(sample: Sample) -> tuple[str, frozenset[tuple[str, str]]]:
    return sample.name, frozenset(sample.labels.items())


@dataclass(frozen=True, slots=True)
class Since:
    """An agent's page, less what was on it at some moment."""

    agent: Agent
    before: dict[tuple[str, frozenset[tuple[str, str]]], float]

    @classmethod
    def now(cls, agent: Agent) -> Since:
        return cls(agent, {_key(sample): sample.value for sample in agent.samples()})

    def samples(self) -> list[Sample]:
        """What has been added; samples that are as they were are left out."""
        added = []
        for sample in self.agent.samples():
            more = sample.value - self.before.get(_key(sample), 0.0)
            if more:
                added.append(Sample(sample.name, sample.labels, more))
        return added

    def requests(self, *labels: str, role: str = "server") -> dict[tuple[str, ...], int]:
        """Exchanges by the values of these labels."""
        return counts(self.samples(), f"http_{role}_request_duration_seconds_count", labels)

    def total(self, name: str, **labels: str) -> float:
        """The sum of a name's samples that have these labels."""
        return sum(
            sample.value
            for sample in self.samples()
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def duration_seconds(self, role: str = "server", **labels: str) -> float:
        return self.total(f"http_{role}_request_duration_seconds_sum", **labels)

    def body_bytes(self, message: str, role: str = "server", **labels: str) -> float:
        """Of all requests' or responses' bodies."""
        return self.total(f"http_{role}_{message}_body_size_bytes_sum", **labels)


def losses(since: Since) -> dict[str, int]:
    """What the kernel programs could not follow, by cause."""
    return {
        cause: number
        for (cause,), number in counts(
            since.samples(), "otelauto_losses_total", ("otelauto_cause",)
        ).items()
    }


def assert_seen(
    since: Since, expected: dict[tuple[str, ...], int], *, role: str = "server"
) -> None:
    """Exactly these exchanges; a moment's patience, and then nothing more may come."""
    number = sum(expected.values())
    until(lambda: sum(since.requests(role=role).values()) >= number, timeout_seconds=3)
    time.sleep(_SETTLE_SECONDS)
    seen = since.requests(*LABELS, role=role)
    assert expected == seen, f"seen: {seen}"


@dataclass(frozen=True, slots=True)
class Scene:
    """An agent on an origin, on programs that bear a mark, and on ports that are still free.

    Attributes:
        hook: the agent's way of hooking.
        port: the origin's, on 127.0.0.1.
        log: the origin's access log.
        mark: processes with it in their command line are targets as well.
        spare: ports for a case's own servers; taken from the end.
    """

    hook: str
    agent: Agent
    supervisor: Supervisor
    port: int
    log: Path
    mark: str
    spare: list[int]

    def since_now(self) -> Since:
        return Since.now(self.agent)

    def witness(self) -> Witness:
        """The origin's view from now on."""
        return Witness(self.log, len(self.log.read_text().splitlines()))


@dataclass(frozen=True, slots=True)
class Witness:
    """The lines that an origin has added to its access log."""

    log: Path
    skip: int

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()[self.skip :]]

    def duration_seconds(self) -> float:
        """The sum over all exchanges, first byte to last."""
        return sum(record["last_ns"] - record["first_ns"] for record in self.records()) / 1e9

    def assert_same_times(self, since: Since) -> None:
        """The agent's durations are the origin's, as exactly as the origin can tell."""
        records = self.records()
        # It stamps its own clock right before or after the system call, unless it has to wait.
        waited = sum(record["waited_ns"] for record in records) / 1e9
        difference = since.duration_seconds() - self.duration_seconds()
        assert abs(difference) < len(records) * EXACT_SECONDS + waited, f"waited {waited} s"
