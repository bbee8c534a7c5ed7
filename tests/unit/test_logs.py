"""The log: its forms, its patience with a closed stream, and how often one thing is said."""

from __future__ import annotations

import io
import json

import pytest
import structlog

from otelauto.logs import Throttle, set_up


@pytest.fixture(autouse=True)
def restored():
    yield
    structlog.reset_defaults()


def test_json_is_one_object_a_line_with_level_and_time(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    log = set_up("INFO", "json")
    log.debug("not said")
    log.warning("said\nin one line", number=3, name="\udcff")
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert ["said\nin one line"] == [one["event"] for one in found]
    assert ("warning", 3) == (found[0]["level"], found[0]["number"])
    assert found[0]["timestamp"].endswith("Z")


def test_auto_is_json_where_nobody_looks_on(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    set_up("INFO", "auto").info("hello")
    assert "hello" == json.loads(stream.getvalue())["event"]


def test_text_is_for_people_and_a_traceback_in_it_has_no_values(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    log = set_up("ERROR", "text")

    def fails(token):
        raise ValueError(len(token))

    with pytest.raises(ValueError, match="6") as caught:
        fails("s3cret")
    log.error("it failed", exc_info=caught.value)
    text = stream.getvalue()
    assert "it failed" in text
    assert "ValueError: 6" in text
    assert "'s3cret'" not in text


@pytest.mark.parametrize("error", [BrokenPipeError, ValueError, OSError])
def test_a_stream_that_cannot_be_written_to_costs_nobody_anything(monkeypatch, error):
    class Closed(io.StringIO):
        def write(self, _):
            raise error

        def flush(self):
            raise error

    monkeypatch.setattr("sys.stderr", Closed())
    assert set_up("INFO", "json").info("lost") is None


def test_a_cause_is_admitted_once_in_ten_seconds_and_the_rest_is_counted():
    now = [0.0]
    throttle = Throttle(lambda: now[0])
    admitted = []
    for second in range(25):
        now[0] = float(second)
        admitted.append(throttle.admit("connection"))
    assert [n for n, one in enumerate(admitted) if one is not None] == [0, 10, 20]
    assert [admitted[0], admitted[10]] == [{}, {"held_back": 9}]
    assert throttle.admit("tls") == {}


def test_ever_new_causes_are_not_kept_for_ever():
    now = [0.0]
    throttle = Throttle(lambda: now[0])
    for number in range(10_000):
        now[0] = number / 50
        assert {} == throttle.admit(f"service {number}")
        assert throttle.admit(f"service {number}") is None
    assert len(throttle._last) <= 1001
    assert throttle._held.keys() <= throttle._last.keys()
