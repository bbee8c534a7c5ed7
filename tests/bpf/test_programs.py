"""All kernel programs on the host: from system calls and changes of state to series."""

from __future__ import annotations

import socket
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.bpf.conversations import conversations, cut_points, examples
from tests.bpf.kernel import PID, REQUEST, RESPONSE, SERVICE, Nr, State, exchange, only
from tests.bpf.stream import Half

from otelauto.abi import _layout as abi
from otelauto.abi._layout import Count, Fault, Role, Route, Unmatched

GET = b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
READS = (Nr.READ, Nr.RECVFROM, Nr.READV, Nr.RECVMSG, Nr.PREADV2)
WRITES = (Nr.WRITE, Nr.SENDTO, Nr.WRITEV, Nr.SENDMSG, Nr.PWRITEV2)
PEEK = 2


@pytest.mark.parametrize(("receive", "send"), list(zip(READS, WRITES, strict=True)))
def test_each_system_call_is_read(receive, send, kernel):
    kernel.socket(3, port=8080)
    exchange(kernel, receive=receive, send=send)
    key, values = only(kernel)
    assert (SERVICE, 8080, Role.SERVER, "POST", 201, Fault.NONE) == (
        key.service,
        key.server_port,
        key.role,
        abi.METHODS[key.method],
        key.status,
        key.fault,
    )
    assert (1, 5_000, 4, 6) == values
    assert {} == kernel.counts()


@pytest.mark.parametrize(("send", "receive"), list(zip(WRITES, READS, strict=True)))
def test_who_writes_the_request_is_the_client(send, receive, kernel):
    address = bytes([10, 0, 0, 9]) + bytes(12)
    kernel.socket(3, port=40_000, peer_port=5432, address=address)
    exchange(kernel, receive=send, send=receive)
    key, values = only(kernel)
    assert (Role.CLIENT, 5432, 4, address) == (
        key.role,
        key.server_port,
        key.family,
        key.address,
    )
    assert (1, 5_000, 4, 6) == values


@pytest.mark.parametrize(
    ("address", "family", "expected"),
    [
        (socket.inet_pton(socket.AF_INET6, "2001:db8::1"), 6, "2001:db8::1"),
        (socket.inet_pton(socket.AF_INET6, "::ffff:192.0.2.1"), 4, "192.0.2.1"),
        (socket.inet_pton(socket.AF_INET6, "::1"), 6, "::1"),
    ],
)
def test_an_ipv4_peer_of_an_ipv6_socket_is_an_ipv4_peer(address, family, expected, kernel):
    kernel.socket(3, family=socket.AF_INET6, address=address)
    exchange(kernel, receive=Nr.WRITE, send=Nr.READ)
    key, _ = only(kernel)
    size, name = (4, socket.AF_INET) if family == 4 else (16, socket.AF_INET6)
    assert (family, expected) == (key.family, socket.inet_ntop(name, key.address[:size]))
    assert bytes(16 - size) == key.address[size:]


def test_a_unix_socket_has_no_port(kernel):
    kernel.socket(3, family=socket.AF_UNIX, port=0)
    exchange(kernel)
    key, values = only(kernel)
    assert (0, Role.SERVER) == (key.server_port, key.role)
    assert (1, 5_000, 4, 6) == values


@examples(40)
@given(st.data())
def test_any_conversation_over_any_calls_is_counted_whole(programs, data):
    programs.reset()
    sk = programs.socket(3)
    # From then on the connection is known to speak HTTP, whatever the methods are.
    exchange(programs)
    turns = data.draw(conversations(most_turns=2, most_pipelined=2))
    cuts = data.draw(cut_points(turns))
    now_ns = 10_000
    for index, turn in enumerate(turns):
        for half, calls in ((Half.REQUEST, READS), (Half.RESPONSE, WRITES)):
            stream = turn.stream(half)
            # An operation holds no more than a program may look at (test_loss.py).
            points = {*cuts[index, half], *range(8_000, len(stream), 8_000)}
            points = {point for point in points if point < len(stream)}
            for start, end in pairwise(sorted({0, len(stream), *points})):
                now_ns += 1
                part = stream[start:end]
                # Many small segments are many steps: long operations go in one.
                nr = data.draw(st.sampled_from(calls if len(part) < 300 else calls[:2]))
                programs.move(nr, 3, part, now_ns=now_ns)
    programs.state(sk, State.ESTABLISHED, State.CLOSE, now_ns=now_ns + 1)
    truths = [truth for turn in turns for truth in turn.truths]
    names = [one.method if one.method in abi.METHODS else "_OTHER" for one in truths]
    wanted = Counter((name, one.status, "NONE") for name, one in zip(names, truths, strict=True))
    assert wanted + Counter([("POST", 201, "NONE")]) == programs.exchanges()
    values = list(programs.series().values())
    assert 4 + sum(one.request_bytes for one in truths) == sum(value[2] for value in values)
    assert 6 + sum(one.response_bytes for one in truths) == sum(value[3] for value in values)
    assert {} == programs.counts()


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_SEQPACKET, socket.SOCK_RAW])
def test_other_sockets_than_streams_are_left_alone(kind, kernel):
    kernel.socket(3, kind=kind)
    exchange(kernel)
    assert {} == kernel.series()
    assert 0 == kernel.size("connections")


def test_other_families_are_left_alone(kernel):
    kernel.socket(3, family=socket.AF_VSOCK)
    exchange(kernel)
    assert {} == kernel.series()


def test_files_and_wrong_descriptors_are_left_alone(kernel):
    kernel.file(3)
    exchange(kernel)
    for fd in (4, 15, 16, 1 << 31, (1 << 32) - 1):
        exchange(kernel, fd)
    assert {} == kernel.series()
    assert 0 == kernel.size("connections")
    assert {} == kernel.counts()


def test_other_processes_are_left_alone(kernel):
    kernel.socket(3)
    kernel.process(PID + 1)
    exchange(kernel)
    kernel.process(PID + abi.TARGET_SLOTS)
    exchange(kernel)
    assert {} == kernel.series()
    assert 0 == kernel.size("connections")


def test_other_system_calls_are_left_alone(kernel):
    kernel.socket(3)
    kernel.move(Nr.CLOSE, 3, REQUEST, now_ns=1)
    assert 0 == kernel.size("connections")


def test_what_is_only_peeked_at_is_not_counted_twice(kernel):
    kernel.socket(3)
    for nr in (Nr.RECVFROM, Nr.RECVMSG):
        kernel.move(nr, 3, REQUEST, now_ns=500, flags=PEEK)
    exchange(kernel, receive=Nr.RECVFROM)
    assert (1, 5_000, 4, 6) == only(kernel)[1]


@pytest.mark.parametrize("nr", [Nr.SENDFILE, Nr.SPLICE])
def test_a_body_that_no_register_points_to_is_counted_by_its_size(nr, kernel):
    kernel.socket(3)
    kernel.move(Nr.READ, 3, REQUEST, now_ns=1_000)
    kernel.move(Nr.WRITE, 3, RESPONSE[: -len(b"answer")], now_ns=2_000)
    kernel.move(nr, 3, b"answer", now_ns=9_000)
    assert (1, 8_000, 4, 6) == only(kernel)[1]
    assert {} == kernel.counts()


@pytest.mark.parametrize("nr", [Nr.READ_32, Nr.WRITE_32, Nr.SOCKETCALL_32])
def test_a_process_of_32_bits_is_said_not_to_be_read(nr, kernel):
    kernel.socket(3)
    kernel.move(nr, 3, REQUEST, now_ns=1, compat=True)
    assert {} == kernel.series()
    assert {Count.COMPAT_TASK: 1} == kernel.counts()


def test_numbers_of_32_bits_are_other_calls(kernel):
    kernel.socket(3)
    kernel.file(4)
    kernel.move(Nr.READ_32, 3, REQUEST, now_ns=1)
    kernel.move(Nr.READ, 3, REQUEST, now_ns=1, compat=True)
    kernel.move(Nr.READ_32, 4, REQUEST, now_ns=1, compat=True)
    assert {} == kernel.series()
    assert {} == kernel.counts()


def test_memory_that_cannot_be_read_is_said(kernel):
    kernel.socket(3)
    exchange(kernel)
    kernel.call(Nr.READ, (3, 8, 100, 0), 100, now_ns=7_000)
    kernel.call(Nr.RECVMSG, (3, 8, 0, 0), 100, now_ns=7_000)
    assert 2 == kernel.counts()[Count.PAYLOAD_FAULT]
    exchange(kernel)
    assert 2 == only(kernel)[1][0]


@pytest.mark.parametrize(
    ("first", "count"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Count.TLS_CONNECTION),
        (b"\x17\x03\x03\x00\x20" + bytes(32), Count.TLS_CONNECTION),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Count.HTTP2_CONNECTION),
    ],
)
def test_what_cannot_be_read_yet_is_counted_once_for_each_connection(first, count, kernel):
    kernel.socket(3)
    kernel.move(Nr.READ, 3, first, now_ns=1)
    exchange(kernel)
    exchange(kernel)
    assert {} == kernel.series()
    assert {count: 1} == kernel.counts()


@pytest.mark.parametrize("junk", [b"\x00", b"junk", b"HTTP/1.1 200 OK\r\n\r\n", b"SSH-2.0-x\r\n"])
def test_a_connection_that_begins_otherwise_costs_no_entry(junk, kernel):
    kernel.socket(3)
    kernel.move(Nr.READ, 3, junk, now_ns=1)
    assert 0 == kernel.size("connections")
    exchange(kernel)
    assert (1, 5_000, 4, 6) == only(kernel)[1]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 64])
def test_the_first_request_may_come_in_small_reads(size, kernel):
    kernel.socket(3)
    for at in range(0, len(REQUEST), size):
        kernel.move(Nr.READ, 3, REQUEST[at : at + size], now_ns=1_000 + at)
    kernel.move(Nr.WRITE, 3, RESPONSE, now_ns=6_000)
    assert (1, 5_000, 4, 6) == only(kernel)[1]


def test_each_path_is_reported_once_and_kept_as_text(kernel):
    kernel.socket(3)
    for _ in range(3):
        exchange(kernel)
    key, values = only(kernel)
    assert (Route.PENDING, 3) == (key.route, values[0])
    assert [abi.EventKind.PATH] == kernel.events()
    raw = kernel.entry("paths", 0)
    text = abi.PathText(*abi.PATH_TEXT.unpack_from(raw, abi.PATH_KEY.size))
    assert (b"/a/b", 0, 1) == (text.text[: text.len], text.truncated, text.reported)
    assert key.path == abi.PathKey(*abi.PATH_KEY.unpack_from(raw)).hash


def test_paths_of_failures_are_not_learned(kernel):
    kernel.socket(3)
    exchange(kernel, response=b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")
    assert Route.WILDCARD == only(kernel)[0].route
    assert [] == kernel.events()


@pytest.mark.parametrize(
    ("unmatched", "route"),
    [(Unmatched.UNSET, Route.NONE), (Unmatched.WILDCARD, Route.WILDCARD)],
)
def test_the_policy_decides_on_paths_without_a_route(unmatched, route, programs):
    programs.reset(unmatched=unmatched)
    programs.socket(3)
    for _ in range(2):
        exchange(programs)
    key, values = only(programs)
    assert (route, 0, 2) == (key.route, key.path, values[0])
    assert 1 == programs.size("route_cache")


def test_a_new_generation_of_routes_counts_from_the_next_request_on(programs):
    programs.reset(unmatched=Unmatched.WILDCARD)
    programs.socket(3)
    exchange(programs)
    unset = abi.SERVICE.pack(*abi.Service(0, 0, 0, 2, Unmatched.UNSET, 0, 0))
    programs.set("services", abi.U32.pack(SERVICE), unset)
    exchange(programs)
    exchange(programs)
    routes = {key.route: values[0] for key, values in programs.series().items()}
    assert {Route.WILDCARD: 1, Route.NONE: 2} == routes


def test_a_full_ring_loses_the_event_and_not_the_exchange(kernel):
    kernel.refuse_events()
    kernel.socket(3)
    exchange(kernel)
    assert 1 == only(kernel)[1][0]
    assert {Count.EVENT_LOST: 1} == kernel.counts()


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("number", [1, 8, 14])
def test_pipelined_requests_in_one_read_and_write_are_all_counted(number, known, kernel):
    kernel.socket(3)
    rounds = 2 if known else 1
    for _ in range(rounds):
        kernel.move(Nr.READ, 3, b"".join(GET % n for n in range(number)), now_ns=1)
        kernel.move(Nr.WRITE, 3, OK * number, now_ns=2)
    assert {("GET", 200, "NONE"): number * rounds} == kernel.exchanges()
    assert {} == kernel.counts()


def test_an_operation_with_more_messages_than_are_followed_is_said_and_heals(kernel):
    kernel.socket(3)
    kernel.move(Nr.READ, 3, b"".join(GET % n for n in range(200)), now_ns=1)
    assert 1 == kernel.counts()[Count.OPERATION_TOO_LONG]
    assert 33 == kernel.deepest
    kernel.socket(4)
    exchange(kernel, 4)
    assert 1 == kernel.exchanges()["POST", 201, "NONE"]


def test_many_targets_on_one_slot_are_told_apart(kernel):
    other = PID + abi.TARGET_SLOTS
    kernel._code.host_target(other, SERVICE + 1)
    service = abi.SERVICE.pack(*abi.Service(0, 0, 0, 1, Unmatched.UNSET, 0, 0))
    kernel.set("services", abi.U32.pack(SERVICE + 1), service)
    for fd, pid in ((3, PID), (4, other), (5, other + abi.TARGET_SLOTS)):
        kernel.process(pid)
        kernel.socket(fd)
        exchange(kernel, fd)
    assert {SERVICE: 1, SERVICE + 1: 1} == {
        key.service: values[0] for key, values in kernel.series().items()
    }
    kernel._code.host_no_target(PID)
    for fd, pid in ((6, PID), (7, other)):
        kernel.process(pid)
        kernel.socket(fd)
        exchange(kernel, fd)
    assert {SERVICE: 1, SERVICE + 1: 2} == {
        key.service: values[0] for key, values in kernel.series().items()
    }
