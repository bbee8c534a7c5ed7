"""Layout of the kernel-user contract. GENERATED from bpf/abi.h by `make generate`: do not edit."""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import Final, NamedTuple

ABI_SHA256: Final = "bea3c239b194a86bb5ada2e9dd50af29789d476ed4a73ff21601497d26700124"

PATH_BYTES: Final = 256
DURATION_BUCKETS: Final = 24
SIZE_BUCKETS: Final = 16
FINE_BUCKETS: Final = 56
METHOD_BYTES: Final = 24
TARGET_SLOTS: Final = 16384
TARGET_SLOT_SHARED: Final = 4294967295
SPAN_HEAD_BYTES: Final = 1024
MAX_SERVICES: Final = 4096

#: Index: enum method.
METHODS: Final = (
    "_OTHER",
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "PATCH",
    "OPTIONS",
    "CONNECT",
    "TRACE",
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "COPY",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "ORDERPATCH",
    "PRI",
    "PROPFIND",
    "PROPPATCH",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
)


class Role(IntEnum):
    """enum role."""

    NONE = 0
    SERVER = 1
    CLIENT = 2


class Version(IntEnum):
    """enum version."""

    NONE = 0
    HTTP_1_0 = 1
    HTTP_1_1 = 2


class Fault(IntEnum):
    """enum fault."""

    NONE = 0
    CONNECTION_CLOSED = 1
    CONNECTION_RESET = 2
    NO_RESPONSE = 3
    CANCELLED = 4


class Count(IntEnum):
    """enum count."""

    RESPONSE_UNSEEN = 0
    SERIES_OVERFLOW = 1
    SERIES_LOST = 2
    PAYLOAD_FAULT = 3
    PAYLOAD_UNSEEN = 4
    COMPAT_TASK = 5
    ORPHAN_RESPONSE = 6
    PIPELINE_OVERFLOW = 7
    CARRY_LOST = 8
    OPERATION_TOO_LONG = 9
    PARSE_ERROR = 10
    CONNECTION_LOST = 11
    EVENT_LOST = 12
    PATH_LOST = 13
    TLS_CONNECTION = 14
    HTTP2_CONNECTION = 15
    TUNNEL = 16
    SPAN_SENT = 18
    SPAN_UNSAMPLED = 19
    SPAN_LIMITED = 20
    SPAN_EVICTED = 21
    SPAN_UNKEPT = 22
    SPAN_RING_FULL = 23
    SPAN_UNSEEN = 24
    MAX = 32


class EventKind(IntEnum):
    """enum event_kind."""

    EXEC = 1
    EXIT = 2
    FORK = 3
    LISTEN = 4
    PATH = 5
    SPAN = 6


class EventBit(IntEnum):
    """enum event_bit."""

    EXEC = 1
    LISTEN = 2


class SpanBit(IntEnum):
    """enum span_bit."""

    ON = 1
    PARENT = 2
    PROXY = 4


class Parent(IntEnum):
    """enum parent."""

    NONE = 0
    HEADER = 1
    THREAD = 2
    CAUSE = 3
    CONNECTION = 4


class SpanFlag(IntEnum):
    """enum span_flag."""

    HEAD_CUT = 1
    SAMPLED_PARENT = 2
    TRACE_SEEN = 4


class Unmatched(IntEnum):
    """enum unmatched."""

    UNSET = 0
    WILDCARD = 1
    LEARN = 2


class Route(IntEnum):
    """enum route."""

    NONE = 0
    WILDCARD = 1
    OTHER = 2
    PENDING = 3
    OVERFLOW = 4
    FIRST = 16


#: Help texts of the counters.
COUNT_HELP: Final = {
    Count.RESPONSE_UNSEEN: "exchanges whose response could not be read (io_uring, 32-bit code)",
    Count.SERIES_OVERFLOW: "exchanges counted under the overflow series: the aggregate is full",
    Count.SERIES_LOST: "exchanges that even the overflow series could not take",
    Count.PAYLOAD_FAULT: "user memory that could not be read",
    Count.PAYLOAD_UNSEEN: "operations whose payload no register points to (io_uring, splice)",
    Count.COMPAT_TASK: "operations of 32-bit processes",
    Count.ORPHAN_RESPONSE: "responses to requests from before the agent",
    Count.PIPELINE_OVERFLOW: "requests beyond the deepest pipeline that is followed",
    Count.CARRY_LOST: "the kept start of a split head was evicted",
    Count.OPERATION_TOO_LONG: "one operation held more messages than are followed",
    Count.PARSE_ERROR: "bytes where a message had to start that are none",
    Count.CONNECTION_LOST: "the connection table could not take an entry",
    Count.EVENT_LOST: "the event ring was full",
    Count.PATH_LOST: "the path table could not take an entry",
    Count.TLS_CONNECTION: "connections of targets that speak TLS and cannot be read",
    Count.HTTP2_CONNECTION: "connections of targets that speak HTTP/2 and are not read yet",
    Count.TUNNEL: "connections that left HTTP by 101 or CONNECT",
    Count.SPAN_SENT: "spans that were given to the agent",
    Count.SPAN_UNSAMPLED: "exchanges of traced services that the sampler left out",
    Count.SPAN_LIMITED: "sampled ones beyond options.span_limit",
    Count.SPAN_EVICTED: "sampled ones whose entry in spans was taken by others",
    Count.SPAN_UNKEPT: "sampled ones that spans could not take",
    Count.SPAN_RING_FULL: "spans that the ring span_events could not take",
    Count.SPAN_UNSEEN: "sampled ones whose response could not be read",
}

#: Keys and values that are plain numbers, and the key of the kernel's map methods.
U32 = Struct("=I")
U64 = Struct("=Q")
METHOD_TEXT = Struct(f"={METHOD_BYTES}s")


#: struct target, 8 bytes.
TARGET = Struct("=II")
TARGET_OFFSETS: Final = {
    "service": 0,
    "flags": 4,
}


class Target(NamedTuple):
    """struct target, in the order of TARGET."""

    service: int
    flags: int


#: struct target_slot, 8 bytes.
TARGET_SLOT = Struct("=II")
TARGET_SLOT_OFFSETS: Final = {
    "pid": 0,
    "service": 4,
}


class TargetSlot(NamedTuple):
    """struct target_slot, in the order of TARGET_SLOT."""

    pid: int
    service: int


#: struct route_edge, 16 bytes.
ROUTE_EDGE = Struct("=III4x")
ROUTE_EDGE_OFFSETS: Final = {
    "node": 0,
    "route": 4,
    "rest": 8,
    "_pad": 12,
}


class RouteEdge(NamedTuple):
    """struct route_edge, in the order of ROUTE_EDGE."""

    node: int
    route: int
    rest: int


#: struct route_step, 16 bytes.
ROUTE_STEP = Struct("=QI4x")
ROUTE_STEP_OFFSETS: Final = {
    "segment": 0,
    "node": 8,
    "_pad": 12,
}


class RouteStep(NamedTuple):
    """struct route_step, in the order of ROUTE_STEP."""

    segment: int
    node: int


#: struct service, 40 bytes.
SERVICE = Struct("=III4xIIQI4x")
SERVICE_OFFSETS: Final = {
    "root": 0,
    "generation": 16,
    "unmatched": 20,
    "sample_below": 24,
    "spans": 32,
    "_pad": 36,
}


class Service(NamedTuple):
    """struct service, in the order of SERVICE."""

    root_node: int
    root_route: int
    root_rest: int
    generation: int
    unmatched: int
    sample_below: int
    spans: int


#: struct path_key, 16 bytes.
PATH_KEY = Struct("=QI4x")
PATH_KEY_OFFSETS: Final = {
    "hash": 0,
    "service": 8,
    "_pad": 12,
}


class PathKey(NamedTuple):
    """struct path_key, in the order of PATH_KEY."""

    hash: int
    service: int


#: struct path_text, 264 bytes.
PATH_TEXT = Struct("=HBB4x256s")
PATH_TEXT_OFFSETS: Final = {
    "len": 0,
    "truncated": 2,
    "reported": 3,
    "_pad": 4,
    "text": 8,
}


class PathText(NamedTuple):
    """struct path_text, in the order of PATH_TEXT."""

    len: int
    truncated: int
    reported: int
    text: bytes


#: struct route_hit, 8 bytes.
ROUTE_HIT = Struct("=II")
ROUTE_HIT_OFFSETS: Final = {
    "route": 0,
    "generation": 4,
}


class RouteHit(NamedTuple):
    """struct route_hit, in the order of ROUTE_HIT."""

    route: int
    generation: int


#: struct red_key, 48 bytes.
RED_KEY = Struct("=QIIHHBBBBBBB5x16s")
RED_KEY_OFFSETS: Final = {
    "path": 0,
    "service": 8,
    "route": 12,
    "status": 16,
    "server_port": 18,
    "role": 20,
    "method": 21,
    "version": 22,
    "fault": 23,
    "tls": 24,
    "family": 25,
    "shard": 26,
    "_pad": 27,
    "address": 32,
}


class RedKey(NamedTuple):
    """struct red_key, in the order of RED_KEY."""

    path: int
    service: int
    route: int
    status: int
    server_port: int
    role: int
    method: int
    version: int
    fault: int
    tls: int
    family: int
    shard: int
    address: bytes


#: struct red_value, 472 bytes.
RED_VALUE = Struct("=QQQ24I16I16I56I")
RED_VALUE_OFFSETS: Final = {
    "duration_sum_ns": 0,
    "request_bytes": 8,
    "response_bytes": 16,
    "duration": 24,
    "request_size": 120,
    "response_size": 184,
    "fine": 248,
}
#: Where each member is in the tuple that RED_VALUE unpacks.
RED_VALUE_SLICES: Final = {
    "duration_sum_ns": slice(0, 1),
    "request_bytes": slice(1, 2),
    "response_bytes": slice(2, 3),
    "duration": slice(3, 27),
    "request_size": slice(27, 43),
    "response_size": slice(43, 59),
    "fine": slice(59, 115),
}


#: struct options, 16 bytes.
OPTIONS = Struct("=QII")
OPTIONS_OFFSETS: Final = {
    "route_seed": 0,
    "events": 8,
    "span_limit": 12,
}


class Options(NamedTuple):
    """struct options, in the order of OPTIONS."""

    route_seed: int
    events: int
    span_limit: int


#: struct event_header, 16 bytes.
EVENT_HEADER = Struct("=IIQ")
EVENT_HEADER_OFFSETS: Final = {
    "kind": 0,
    "len": 4,
    "time_ns": 8,
}


class EventHeader(NamedTuple):
    """struct event_header, in the order of EVENT_HEADER."""

    kind: int
    len: int
    time_ns: int


#: struct event_process, 32 bytes.
EVENT_PROCESS = Struct("=IIQIII4x")
EVENT_PROCESS_OFFSETS: Final = {
    "header": 0,
    "pid": 16,
    "parent": 20,
    "service": 24,
    "_pad": 28,
}


class EventProcess(NamedTuple):
    """struct event_process, in the order of EVENT_PROCESS."""

    header_kind: int
    header_len: int
    header_time_ns: int
    pid: int
    parent: int
    service: int


#: struct event_listen, 24 bytes.
EVENT_LISTEN = Struct("=IIQIHH")
EVENT_LISTEN_OFFSETS: Final = {
    "header": 0,
    "pid": 16,
    "port": 20,
    "family": 22,
}


class EventListen(NamedTuple):
    """struct event_listen, in the order of EVENT_LISTEN."""

    header_kind: int
    header_len: int
    header_time_ns: int
    pid: int
    port: int
    family: int


#: struct event_path, 32 bytes.
EVENT_PATH = Struct("=IIQQI4x")
EVENT_PATH_OFFSETS: Final = {
    "header": 0,
    "key": 16,
}


class EventPath(NamedTuple):
    """struct event_path, in the order of EVENT_PATH."""

    header_kind: int
    header_len: int
    header_time_ns: int
    key_hash: int
    key_service: int


#: struct event_span, 1184 bytes.
EVENT_SPAN = Struct("=IIQQQQQQQ16s8s8sIIIIHHHHBBBBBBBB16s16s1024s")
EVENT_SPAN_OFFSETS: Final = {
    "header": 0,
    "start_ns": 16,
    "first_ns": 24,
    "duration_ns": 32,
    "request_bytes": 40,
    "response_bytes": 48,
    "path": 56,
    "trace": 64,
    "span": 80,
    "parent": 88,
    "service": 96,
    "route": 100,
    "pid": 104,
    "tid": 108,
    "status": 112,
    "server_port": 114,
    "client_port": 116,
    "head_len": 118,
    "role": 120,
    "method": 121,
    "version": 122,
    "fault": 123,
    "tls": 124,
    "family": 125,
    "parent_kind": 126,
    "flags": 127,
    "server_address": 128,
    "client_address": 144,
    "head": 160,
}


class EventSpan(NamedTuple):
    """struct event_span, in the order of EVENT_SPAN."""

    header_kind: int
    header_len: int
    header_time_ns: int
    start_ns: int
    first_ns: int
    duration_ns: int
    request_bytes: int
    response_bytes: int
    path: int
    trace: bytes
    span: bytes
    parent: bytes
    service: int
    route: int
    pid: int
    tid: int
    status: int
    server_port: int
    client_port: int
    head_len: int
    role: int
    method: int
    version: int
    fault: int
    tls: int
    family: int
    parent_kind: int
    flags: int
    server_address: bytes
    client_address: bytes
    head: bytes


#: Size of every struct, for the handshake at load time.
SIZES: Final = {
    "target": 8,
    "target_slot": 8,
    "route_edge": 16,
    "route_step": 16,
    "service": 40,
    "path_key": 16,
    "path_text": 264,
    "route_hit": 8,
    "red_key": 48,
    "red_value": 472,
    "options": 16,
    "event_header": 16,
    "event_process": 32,
    "event_listen": 24,
    "event_path": 32,
    "event_span": 1184,
}
