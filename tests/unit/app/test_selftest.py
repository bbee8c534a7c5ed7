"""The agent reports nothing by a way of hooking that sees a known exchange wrongly."""

from __future__ import annotations

import os
import socket
import threading

import pytest
from tests.unit.app.doubles import FakeKernel

from otelauto.abi import _layout as abi
from otelauto.app import selftest
from otelauto.app.selftest import SERVICE, run_self_test
from otelauto.errors import SelfTestError

SLICES = abi.RED_VALUE_SLICES
SERVER, CLIENT = abi.Role.SERVER, abi.Role.CLIENT
REAL_EXCHANGE = selftest._exchange


class Watching(FakeKernel):
    """Sees the exchange as the test says, from the moment at which the agent is a target."""

    def __init__(self, *seen):
        super().__init__()
        self.seen = seen

    def drop_target(self, pid):
        super().drop_target(pid)
        for role, fields in self.seen:
            self._see(role, **fields)

    def _see(
        self, role, *, method="POST", status=201, count=1, sizes=(5, 7), seconds=0.006, shard=0
    ):
        key = abi.RedKey(
            0,
            SERVICE,
            0,
            status,
            80,
            role,
            abi.METHODS.index(method),
            2,
            0,
            0,
            0,
            shard,
            bytes(16),
        )
        values = [0] * SLICES["fine"].stop
        values[SLICES["duration_sum_ns"].start] = int(seconds * 1e9)
        values[SLICES["request_bytes"].start], values[SLICES["response_bytes"].start] = sizes
        values[SLICES["duration"].start + 2] = count
        self.entries[abi.RED_KEY.pack(*key)] = abi.RED_VALUE.pack(*values)


def seen(**wrong):
    """The server's end as it is, but for this; the client's end right."""
    return Watching((SERVER, wrong), (CLIENT, {}))


@pytest.fixture(autouse=True)
def ten_milliseconds(monkeypatch):
    """What the stand-in says of durations does not depend on how busy this machine is."""
    monkeypatch.setattr(selftest, "_exchange", lambda: 0.01)


def test_an_exchange_that_is_seen_as_it_was_passes():
    kernel = seen()
    assert run_self_test(kernel) is None
    assert [
        ("open_service", SERVICE),
        ("set_target", os.getpid()),
        ("drop_target", os.getpid()),
    ] == (kernel.calls[:3])


def test_nothing_of_it_is_left():
    kernel = seen()
    kernel.count(5, abi.Route.NONE)
    run_self_test(kernel)
    assert {} == kernel.pids
    assert [5] == [abi.RedKey(*abi.RED_KEY.unpack(raw)).service for raw in kernel.entries]


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "GET"},
        {"method": "_OTHER"},
        {"status": 200},
        {"status": 0},
        {"count": 2},
        {"sizes": (0, 7)},
        {"sizes": (5, 0)},
        {"sizes": (7, 5)},
        {"seconds": 0.0},
        {"seconds": 0.0049},
        {"seconds": 0.0101},
        {"seconds": 5000.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("role", [SERVER, CLIENT])
def test_what_was_seen_wrongly_is_said_with_what_was_expected(role, wrong):
    other = CLIENT if role == SERVER else SERVER
    with pytest.raises(SelfTestError) as caught:
        run_self_test(Watching((role, wrong), (other, {})))
    message = caught.value.message
    assert f"the {role.name.lower()}'s end of a known exchange was seen as" in message
    assert "not as ('POST', 201, 1, 5, 7)" in message
    assert "'sock'" in message


@pytest.mark.parametrize("twice", [{"status": 200}, {"shard": 1}, {"method": "GET"}], ids=str)
@pytest.mark.parametrize("right_last", [True, False])
def test_an_exchange_that_is_counted_twice_fails_whichever_comes_last(twice, right_last):
    ends = [(SERVER, {}), (SERVER, twice)][:: -1 if right_last else 1]
    with pytest.raises(SelfTestError, match="count=2"):
        run_self_test(Watching(*ends, (CLIENT, {})))


@pytest.mark.parametrize(("role", "other"), [(SERVER, CLIENT), (CLIENT, SERVER)])
def test_an_end_that_was_not_seen_is_said_with_what_the_kernel_counted(role, other):
    kernel = Watching((other, {}))
    kernel.counters[abi.Count.PAYLOAD_FAULT] = 3
    with pytest.raises(SelfTestError) as caught:
        run_self_test(kernel)
    assert f"the {role.name.lower()}'s end of a known exchange was not seen" in str(caught.value)
    assert "{'payload_fault': 3}" in str(caught.value)


def test_an_end_that_only_has_an_empty_entry_was_not_seen():
    with pytest.raises(SelfTestError, match=r"was not seen \(counters: all zero\)"):
        run_self_test(seen(count=0))


@pytest.mark.parametrize("error", [OSError(99, "Cannot assign requested address"), TimeoutError()])
def test_without_a_loopback_network_the_remedy_is_given_and_no_target_stays(monkeypatch, error):
    def fails():
        raise error

    monkeypatch.setattr(selftest, "_exchange", fails)
    kernel = seen()
    with pytest.raises(SelfTestError, match="no working loopback network") as caught:
        run_self_test(kernel)
    assert "interface lo" in caught.value.hint
    assert {} == kernel.pids


def test_the_messages_are_what_is_judged_by():
    for message, begin, length in (
        (selftest._REQUEST, b"POST ", 5),
        (selftest._RESPONSE, b"HTTP/1.1 201 ", 7),
    ):
        head, _, body = message.partition(b"\r\n\r\n")
        assert head.startswith(begin)
        assert f"Content-Length: {length}" in head.decode().split("\r\n")
        assert length == len(body)


def test_the_exchange_takes_at_least_as_long_as_the_answer_is_held_back():
    threads = threading.active_count()
    assert REAL_EXCHANGE() >= selftest._ANSWER_AFTER_SECONDS
    assert threads == threading.active_count()


def test_a_server_that_does_not_answer_is_an_error_of_the_network(monkeypatch):
    def hang_up(listener):
        connection, _ = listener.accept()
        with connection:
            selftest._receive(connection, len(selftest._REQUEST))

    monkeypatch.setattr(selftest, "_answer", hang_up)
    monkeypatch.setattr(selftest, "_exchange", REAL_EXCHANGE)
    length = len(selftest._RESPONSE)
    with pytest.raises(SelfTestError, match=f"{length} of {length} bytes were missing"):
        run_self_test(seen())


def test_bytes_that_never_come_are_an_error():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"abc")
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionError, match="2 of 5 bytes were missing"):
            selftest._receive(ours, 5)
