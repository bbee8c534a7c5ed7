"""Spans pass from the ring to whoever takes them, and what does not is counted."""

from __future__ import annotations

import threading
import time

import pytest
from tests.unit.app.doubles import Log
from tests.unit.spans.records import DURATION_NS, record

from otelauto.app.spans import SpanPipeline, span_rules
from otelauto.errors import ExportError
from otelauto.spans.build import Traced

RESOURCE = (("service.name", "shop"),)


class Ring:
    """A ring that the test fills."""

    def __init__(self):
        self.records = []

    def fileno(self):
        return 99

    def read(self, limit):
        found, self.records = self.records[:limit], self.records[limit:]
        return found


class Sinks:
    """Keeps what it is given."""

    facts = ("facts",)

    def __init__(self):
        self.taken, self.done = [], []
        self.counts = {"exported": 3}
        self.refuse = False
        self.changed = threading.Condition()

    def take(self, spans):
        with self.changed:
            self.taken.extend(spans)
            self.changed.notify_all()

    def wait_for(self, number):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.taken) >= number, 20)

    def start(self):
        self.done.append("start")

    def stop(self, timeout_seconds):
        self.done.append("stop")
        assert timeout_seconds >= 0

    def reload(self, config):
        if self.refuse:
            raise ExportError("no")
        self.done.append("reload")


class Rig:
    def __init__(self, config):
        self.ring, self.sinks, self.log = Ring(), Sinks(), Log()
        self.asked = []
        self.say = lambda event, path: Traced(RESOURCE, "/a")
        self.pipeline = SpanPipeline(
            config, ring=self.ring, traced=self.traced, sinks=self.sinks, log=self.log
        )

    def traced(self, exchanges):
        self.asked.extend(path for _, path in exchanges)
        return [self.say(event, path) for event, path in exchanges]

    def bring(self, *records):
        self.ring.records = list(records)
        self.pipeline.on_readable()


@pytest.fixture
def rig(config):
    queue = "max_queue_size: 1000, max_export_batch_size: 100"
    made = Rig(config(f"otel_traces_export: {{endpoint: 'http://h:4318', {queue}}}\n"))
    yield made
    made.pipeline.stop(5)


def test_records_become_spans(rig):
    rig.pipeline.start()
    rig.bring(record(), record(status=500))
    rig.sinks.wait_for(2)
    first, second = rig.sinks.taken
    assert ("GET /a", RESOURCE, False, True) == (
        first.name,
        first.resource,
        first.failed,
        second.failed,
    )
    assert DURATION_NS == first.end_unix_nano - first.start_unix_nano
    assert [b"/users/7"] * 2 == rig.asked
    assert {"exported": 3} == rig.pipeline.counts
    assert ("facts",) == rig.pipeline.facts
    assert 99 == rig.pipeline.fileno()


def test_what_is_no_span_and_what_is_ignored_is_counted(rig):
    rig.say = lambda event, path: None if event.service == 2 else Traced(RESOURCE)
    rig.pipeline.start()
    rig.bring(b"", record(service=2), b"x" * 300, record(service=2), record())
    rig.sinks.wait_for(1)
    assert {"invalid": 2, "ignored": 2, "exported": 3} == rig.pipeline.counts


def test_more_than_may_wait_is_counted(rig):
    rig.bring(*[record()] * 1200)
    assert 200 == rig.pipeline.counts["queue_full"]
    rig.pipeline.start()
    rig.sinks.wait_for(1000)


def test_a_fault_costs_only_the_spans_that_were_made_together(rig):
    def fail(event, path):
        raise KeyError("ours")

    rig.say = fail
    rig.bring(*[record()] * 3)
    rig.pipeline.start()
    deadline = time.monotonic() + 20
    while "invalid" not in rig.pipeline.counts:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    rig.say = lambda event, path: Traced(RESOURCE)
    rig.bring(record())
    rig.sinks.wait_for(1)
    assert 3 == rig.pipeline.counts["invalid"]
    assert ["spans were not made"] == rig.log.events("error")


def test_the_end_takes_what_the_ring_still_has(rig):
    rig.pipeline.start()
    rig.ring.records = [record()] * 5
    rig.pipeline.stop(20)
    assert (5, ["start", "stop"]) == (len(rig.sinks.taken), rig.sinks.done)


def test_what_could_not_be_made_at_the_end_is_counted(rig):
    rig.ring.records = [record()] * 5
    rig.pipeline.stop(0.1)  # it was never started
    assert 5 == rig.pipeline.counts["shutdown"]


def test_another_configuration_holds_for_the_next_spans(rig, config):
    text = "otel_traces_export: {endpoint: 'http://h:1', url_query: true}"
    rig.pipeline.reload(config(text))
    rig.pipeline.start()
    rig.bring(record())
    rig.sinks.wait_for(1)
    assert "token=REDACTED&page=2" == dict(rig.sinks.taken[0].attributes)["url.query"]


def test_a_configuration_that_is_refused_changes_nothing(rig, config):
    rig.sinks.refuse = True
    with pytest.raises(ExportError):
        rig.pipeline.reload(
            config("otel_traces_export: {endpoint: 'http://h:1', url_query: true}")
        )
    rig.pipeline.start()
    rig.bring(record())
    rig.sinks.wait_for(1)
    assert "url.query" not in dict(rig.sinks.taken[0].attributes)


def test_the_names_of_headers_and_parameters_are_compared_without_case(config):
    rules = span_rules(
        config(
            "otel_traces_export:\n  endpoint: http://h:1\n  request_headers: [X-Request-ID]\n"
            "  redacted_query_keys: [Token]\n"
        )
    )
    assert (frozenset({"x-request-id"}), frozenset({"token"})) == (
        rules.request_headers,
        rules.redacted,
    )
