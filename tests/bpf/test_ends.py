"""How requests end that get no whole answer: changes of state, ends of streams, errors."""

from __future__ import annotations

import socket

import pytest
from tests.bpf.kernel import REQUEST, Nr, State, exchange, only

from otelauto.abi._layout import Fault

GET = b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.mark.parametrize(
    ("client", "before", "after", "error", "fault"),
    [
        (False, State.ESTABLISHED, State.FIN_WAIT1, 0, Fault.NO_RESPONSE),
        (False, State.CLOSE_WAIT, State.LAST_ACK, 0, Fault.CONNECTION_CLOSED),
        (False, State.ESTABLISHED, State.CLOSE, 104, Fault.CONNECTION_RESET),
        (False, State.ESTABLISHED, State.CLOSE, 0, Fault.NO_RESPONSE),
        (True, State.ESTABLISHED, State.CLOSE, 0, Fault.CANCELLED),
        (True, State.ESTABLISHED, State.CLOSE, 104, Fault.CONNECTION_RESET),
        (True, State.CLOSE_WAIT, State.CLOSE, 0, Fault.CONNECTION_CLOSED),
        (True, State.ESTABLISHED, State.FIN_WAIT1, 0, None),
        (True, State.ESTABLISHED, State.CLOSE_WAIT, 0, None),
        (False, State.ESTABLISHED, State.CLOSE_WAIT, 0, None),
    ],
)
def test_the_end_of_a_connection_ends_what_waits(client, before, after, error, fault, kernel):
    sk = kernel.socket(3)
    kernel.move(Nr.WRITE if client else Nr.READ, 3, REQUEST, now_ns=1_000)
    kernel.fail(3, error)
    kernel.state(sk, before, after, now_ns=4_000)
    expected = {} if fault is None else {("POST", 0, fault.name): 1}
    assert expected == kernel.exchanges()
    if fault is not None:
        assert (1, 3_000, 4, 0) == only(kernel)[1]


def test_all_that_wait_end_with_the_connection(kernel):
    sk = kernel.socket(3)
    for number in range(20):
        kernel.move(Nr.READ, 3, GET % number, now_ns=number)
    kernel.state(sk, State.ESTABLISHED, State.CLOSE, now_ns=100)
    assert {("GET", 0, "NO_RESPONSE"): 20} == kernel.exchanges()
    assert {} == kernel.counts()
    kernel.destroy(sk)
    assert 0 == kernel.size("connections")


def test_a_closed_stream_ends_a_response_without_a_length(kernel):
    sk = kernel.socket(3)
    kernel.move(Nr.READ, 3, REQUEST, now_ns=1_000)
    kernel.move(Nr.WRITE, 3, b"HTTP/1.0 200 OK\r\n\r\nbody", now_ns=3_000)
    assert {} == kernel.series()
    kernel.state(sk, State.ESTABLISHED, State.FIN_WAIT1, now_ns=9_000)
    assert {("POST", 200, "NONE"): 1} == kernel.exchanges()
    assert (1, 2_000, 4, 4) == only(kernel)[1]


def test_the_end_of_the_stream_ends_what_a_client_waits_for(kernel):
    kernel.socket(3)
    kernel.move(Nr.WRITE, 3, REQUEST, now_ns=1_000)
    kernel.call(Nr.RECVFROM, (3, 4096, 0, 0), 0, now_ns=2_000)  # recv() of no bytes: no end
    assert {} == kernel.series()
    kernel.move(Nr.READ, 3, b"", now_ns=3_000)
    assert {("POST", 0, "CONNECTION_CLOSED"): 1} == kernel.exchanges()


@pytest.mark.parametrize(("error", "ends"), [(11, False), (4, False), (104, True), (32, True)])
def test_only_an_error_that_is_final_ends_what_waits(error, ends, kernel):
    kernel.socket(3)
    kernel.move(Nr.READ, 3, REQUEST, now_ns=1_000)
    kernel.call(Nr.WRITE, (3, 4096, 10, 0), -error, now_ns=2_000)
    expected = {("POST", 0, "CONNECTION_RESET"): 1} if ends else {}
    assert expected == kernel.exchanges()


def test_an_address_that_another_unix_socket_takes_over_is_another_connection(kernel):
    kernel.socket(3, family=socket.AF_UNIX, inode=5)
    kernel.move(Nr.READ, 3, REQUEST, now_ns=1_000)
    kernel.socket(3, family=socket.AF_UNIX, inode=6)
    exchange(kernel)
    counted = kernel.exchanges()
    assert 1 == counted["POST", 201, "NONE"]
    assert {("POST", 0, "NO_RESPONSE"): 1, ("POST", 201, "NONE"): 1} == counted
