"""Records of the span ring, as the kernel would make them."""

from __future__ import annotations

from otelauto.abi import _layout as abi

TRACE = bytes.fromhex("0af7651916cd43dd8448eb211c80319c")
SPAN = bytes.fromhex("b7ad6b7169203331")
PARENT = bytes.fromhex("00f067aa0ba902b7")
HEAD = (
    b"GET /users/7?token=abc&page=2 HTTP/1.1\r\n"
    b"Host: shop.example.com:8080\r\n"
    b"User-Agent: curl/8.1\r\n"
    b"X-Request-Id: r1\r\n\r\n"
)
FIXED_BYTES = abi.EVENT_SPAN_OFFSETS["head"]
START_NS, DURATION_NS = 5_000_000_000, 1_500_000


def address(*numbers):
    return bytes(numbers).ljust(16, b"\0")


def event(head=HEAD, **fields):
    """A server span of GET, answered with 200; fields override its members."""
    method = head.partition(b" ")[0].decode("latin-1")
    known = {
        "header_kind": abi.EventKind.SPAN,
        "header_len": abi.EVENT_SPAN.size,
        "header_time_ns": START_NS + DURATION_NS,
        "start_ns": START_NS,
        "first_ns": START_NS + 1000,
        "duration_ns": DURATION_NS,
        "request_bytes": 0,
        "response_bytes": 512,
        "path": 0,
        "trace": TRACE,
        "span": SPAN,
        "parent": bytes(8),
        "service": 1,
        "route": abi.Route.NONE,
        "pid": 7,
        "tid": 7,
        "status": 200,
        "server_port": 8080,
        "client_port": 40000,
        "head_len": min(len(head), abi.SPAN_HEAD_BYTES),
        "role": abi.Role.SERVER,
        "method": abi.METHODS.index(method) if method in abi.METHODS else 0,
        "version": abi.Version.HTTP_1_1,
        "fault": abi.Fault.NONE,
        "tls": 0,
        "family": 4,
        "parent_kind": abi.Parent.NONE,
        "flags": 0,
        "server_address": address(10, 0, 0, 1),
        "client_address": address(10, 0, 0, 9),
        "head": head[: abi.SPAN_HEAD_BYTES].ljust(abi.SPAN_HEAD_BYTES, b"\0"),
    }
    assert set() == fields.keys() - known.keys()
    return abi.EventSpan(**(known | fields))


def record(head=HEAD, **fields):
    """The bytes of event(): the head made up to a multiple of 8."""
    made = event(head, **fields)
    return abi.EVENT_SPAN.pack(*made)[: FIXED_BYTES + (made.head_len + 7 & -8)]
