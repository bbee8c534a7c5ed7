"""A span says what the record says, by the stable conventions, and nothing that is not known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.spans.records import (
    DURATION_NS,
    FIXED_BYTES,
    HEAD,
    PARENT,
    SPAN,
    START_NS,
    TRACE,
    address,
    event,
    record,
)

from otelauto.abi import _layout as abi
from otelauto.model import Span
from otelauto.spans.build import SpanRules, Traced, decoded, head_of, span_of

RESOURCE = (("service.name", "shop"),)
EVERYTHING = SpanRules(
    url_query=True,
    redacted=frozenset({"token"}),
    request_headers=frozenset({"x-request-id"}),
)
OFFSET = 1_700_000_000_000_000_000
CLIENT = {"role": abi.Role.CLIENT}


def span(head=HEAD, *, route=None, rules=EVERYTHING, **fields):
    made = decoded(record(head, **fields))
    traced = Traced(RESOURCE, route)
    return span_of(made, head_of(made, rules), traced, rules, offset_nano=OFFSET)


def attributes(*arguments, **fields):
    return dict(span(*arguments, **fields).attributes)


def test_a_server_span_has_the_stable_attributes():
    assert {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/users/{id}",
        "url.path": "/users/7",
        "url.query": "token=REDACTED&page=2",
        "url.scheme": "http",
        "server.address": "shop.example.com",
        "server.port": 8080,
        "client.address": "10.0.0.9",
        "network.peer.address": "10.0.0.9",
        "network.peer.port": 40000,
        "network.protocol.version": "1.1",
        "user_agent.original": "curl/8.1",
        "http.request.body.size": 0,
        "http.response.body.size": 512,
        "http.request.header.x-request-id": ("r1",),
    } == attributes(route="/users/{id}")


def test_a_client_span_says_whom_it_asked():
    found = attributes(**CLIENT)
    assert "http://shop.example.com:8080/users/7?token=REDACTED&page=2" == found["url.full"]
    assert ("10.0.0.1", 8080) == (found["network.peer.address"], found["network.peer.port"])
    assert "client.address" not in found


def test_query_and_headers_are_only_exported_if_they_are_asked_for():
    for fields in ({}, CLIENT):
        found = attributes(rules=SpanRules(), **fields)
        assert not [value for value in found.values() if "token" in str(value)]
        assert not [name for name in found if name.startswith("http.request.header.")]


def test_a_span_has_its_place_in_the_trace_and_its_time():
    found = span(route="/a")
    assert (TRACE, SPAN, b"", "") == (
        found.trace_id,
        found.span_id,
        found.parent_id,
        found.trace_state,
    )
    assert ("GET /a", "server", RESOURCE) == (found.name, found.kind, found.resource)
    assert OFFSET + START_NS == found.start_unix_nano
    assert DURATION_NS == found.end_unix_nano - found.start_unix_nano


@pytest.mark.parametrize(
    ("kind", "remote"),
    [
        (abi.Parent.HEADER, True),
        (abi.Parent.CONNECTION, True),
        (abi.Parent.THREAD, False),
        (abi.Parent.CAUSE, False),
    ],
)
def test_a_parent_is_remote_if_it_is_another_process(kind, remote):
    found = span(parent=PARENT, parent_kind=kind)
    assert (PARENT, remote) == (found.parent_id, found.remote_parent)


def test_a_trace_state_counts_only_with_the_parent_of_its_header():
    head = HEAD[:-2] + b"tracestate: a=1\r\ntracestate: b=2\r\n\r\n"
    kind = abi.Parent.HEADER
    assert "a=1, b=2" == span(head, parent=PARENT, parent_kind=kind).trace_state
    assert "" == span(head).trace_state


@pytest.mark.parametrize(
    ("role", "status", "error"),
    [
        (abi.Role.SERVER, 200, None),
        (abi.Role.SERVER, 404, None),
        (abi.Role.SERVER, 499, None),
        (abi.Role.SERVER, 500, "500"),
        (abi.Role.CLIENT, 302, None),
        (abi.Role.CLIENT, 404, "404"),
        (abi.Role.CLIENT, 503, "503"),
    ],
)
def test_the_side_decides_which_status_is_an_error(role, status, error):
    found = span(role=role, status=status)
    assert (error is not None, error) == (found.failed, dict(found.attributes).get("error.type"))


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"status": 0, "fault": abi.Fault.CONNECTION_RESET}, "connection_reset"),
        ({"status": 200, "fault": abi.Fault.CONNECTION_CLOSED}, "connection_closed"),
        ({"status": 0, "fault": 0}, "_OTHER"),
        ({"status": 0, "fault": 200}, "_OTHER"),
    ],
)
def test_an_outcome_that_is_not_known_is_said_and_no_status_invented(fields, error):
    found = span(**fields)
    assert found.failed
    assert error == dict(found.attributes)["error.type"]
    status = dict(found.attributes).get("http.response.status_code")
    assert (fields["status"] or None) == status


def test_an_unknown_method_is_named_as_it_was_sent():
    other = abi.METHODS.index("_OTHER")
    found = span(b"PURGE /x HTTP/1.1\r\n\r\n", method=other, route="/x")
    assert "HTTP /x" == found.name
    assert ("_OTHER", "PURGE") == (
        dict(found.attributes)["http.request.method"],
        dict(found.attributes)["http.request.method_original"],
    )


@pytest.mark.parametrize(("tls", "scheme", "port"), [(0, "http", 80), (1, "https", 443)])
def test_the_port_of_a_host_without_one_is_that_of_the_scheme(tls, scheme, port):
    found = attributes(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", tls=tls)
    assert (scheme, "h", port) == (
        found["url.scheme"],
        found["server.address"],
        found["server.port"],
    )


def test_without_a_host_header_the_address_stands_for_it():
    bare = b"GET /x HTTP/1.0\r\n\r\n"
    found = attributes(bare, **CLIENT)
    assert ("10.0.0.1", 8080) == (found["server.address"], found["server.port"])
    assert "http://10.0.0.1:8080/x" == found["url.full"]
    six = address(*b"\xfd" + bytes(14) + b"\x01")
    found = attributes(bare, family=6, server_address=six, **CLIENT)
    assert "http://[fd00::1]:8080/x" == found["url.full"]


def test_a_unix_socket_has_no_addresses():
    found = attributes(b"GET / HTTP/1.1\r\n\r\n", family=1, server_port=0, client_port=0)
    assert not [name for name in found if name.startswith(("network.peer", "client.", "server."))]


def test_a_head_that_was_cut_gives_what_is_whole():
    head = b"GET /a HTTP/1.1\r\nUser-Agent: x\r\nX-Request-Id: " + b"r" * 2000
    found = attributes(head, flags=abi.SpanFlag.HEAD_CUT)
    assert ("/a", "x") == (found["url.path"], found["user_agent.original"])
    assert "http.request.header.x-request-id" not in found


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        record()[: FIXED_BYTES - 1],
        record()[: FIXED_BYTES + 8],
        record(header_kind=abi.EventKind.PATH),
        record(method=255),
        record(head_len=2000),
    ],
    ids=["empty", "short", "head missing", "other kind", "no method", "head too long"],
)
def test_what_is_no_record_is_none(raw):
    assert decoded(raw) is None


def test_a_record_holds_what_the_kernel_wrote():
    assert event() == decoded(record())


@given(st.binary(min_size=FIXED_BYTES, max_size=FIXED_BYTES + 200), st.sampled_from([1, 2]))
def test_no_record_is_a_fault(raw, role):
    """Whatever stands behind a header of the right kind."""
    places = abi.EVENT_SPAN_OFFSETS
    forged = bytearray(raw)
    forged[:4] = int(abi.EventKind.SPAN).to_bytes(4, "little")
    forged[places["method"]], forged[places["role"]] = 1, role
    length = len(raw) - FIXED_BYTES
    forged[places["head_len"] : places["head_len"] + 2] = length.to_bytes(2, "little")
    made = decoded(bytes(forged))
    assert made is not None
    found = span_of(
        made, head_of(made, EVERYTHING), Traced(RESOURCE), EVERYTHING, offset_nano=OFFSET
    )
    assert isinstance(found, Span)
    assert found.end_unix_nano >= found.start_unix_nano
    assert found.failed == ("error.type" in dict(found.attributes))


@given(st.binary(max_size=1400))
def test_garbage_is_a_record_or_none(raw):
    assert decoded(raw) is None or len(raw) >= FIXED_BYTES
