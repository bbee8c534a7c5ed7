"""From a record of the kernel's span ring to a span (stable semantic conventions, HTTP spans).

Only this translation lives here: pure functions that never raise, whatever a record holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final

from otelauto.abi import _layout as abi
from otelauto.model import Span
from otelauto.spans.head import Head, authority, parse_head
from otelauto.spans.redact import redacted

if TYPE_CHECKING:
    from otelauto.model import Attributes, AttributeValue, SpanAttributes

__all__ = ["SpanRules", "Traced", "decoded", "head_of", "span_of"]

_FIXED_BYTES: Final = abi.EVENT_SPAN_OFFSETS["head"]
_VERSIONS: Final = {int(abi.Version.HTTP_1_0): "1.0", int(abi.Version.HTTP_1_1): "1.1"}
_FAULTS: Final = {int(fault): fault.name.lower() for fault in abi.Fault if fault}
_FAMILY_IPV4: Final = 4
_FAMILY_IPV6: Final = 6
_SERVER_ERROR: Final = 500
_CLIENT_ERROR: Final = 400
_UNKNOWN_METHOD: Final = "_OTHER"
#: error.type of an exchange without response of which nothing more is known.
_UNKNOWN_ERROR: Final = "_OTHER"
_NO_PARENT: Final = bytes(8)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
#: Parents that are in another process than the span.
_REMOTE: Final = frozenset({int(abi.Parent.HEADER), int(abi.Parent.CONNECTION)})


@dataclass(frozen=True, slots=True)
class SpanRules:
    """What of a request is exported.

    Attributes:
        url_query: whether url.query is.
        redacted: lower-case names of the parameters whose value is not.
        request_headers: lower-case names of the headers that are.
    """

    url_query: bool = False
    redacted: frozenset[str] = frozenset()
    request_headers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Traced:
    """What a span gets from its service.

    Attributes:
        resource: the service's resource attributes.
        route: value of http.route; None: there is none.
    """

    resource: Attributes
    route: str | None = None


def decoded(record: bytes) -> abi.EventSpan | None:
    """The record of a span; None if it is none."""
    if len(record) < _FIXED_BYTES:
        return None
    event = abi.EventSpan._make(
        abi.EVENT_SPAN.unpack(record[: abi.EVENT_SPAN.size].ljust(abi.EVENT_SPAN.size, b"\0"))
    )
    whole = event.header_kind == abi.EventKind.SPAN and event.method < len(abi.METHODS)
    return event if whole and event.head_len <= len(record) - _FIXED_BYTES else None


def head_of(event: abi.EventSpan, rules: SpanRules) -> Head:
    """The request's head of a record."""
    return parse_head(
        event.head[: event.head_len],
        cut=bool(event.flags & abi.SpanFlag.HEAD_CUT),
        wanted=rules.request_headers,
    )


def span_of(
    event: abi.EventSpan, head: Head, traced: Traced, rules: SpanRules, *, offset_nano: int
) -> Span:
    """The span of a record.

    Args:
        event: the record.
        head: its request's head.
        traced: what its service says.
        rules: what of the request is exported.
        offset_nano: of the record's clock to the time of day, see spans.clock.
    """
    client = event.role == abi.Role.CLIENT
    error = _error_type(event, client=client)
    method = abi.METHODS[event.method]
    start = event.start_ns + offset_nano
    # Without a valid traceparent there is no trace state (W3C Trace Context, 3.3.1).
    by_header = event.parent_kind == abi.Parent.HEADER
    shown = "HTTP" if method == _UNKNOWN_METHOD else method
    return Span(
        resource=traced.resource,
        name=shown if traced.route is None else f"{shown} {traced.route}",
        kind="client" if client else "server",
        trace_id=event.trace,
        span_id=event.span,
        parent_id=b"" if event.parent == _NO_PARENT else event.parent,
        remote_parent=event.parent_kind in _REMOTE,
        trace_state=head.header("tracestate") if by_header else "",
        start_unix_nano=max(0, min(start, _U64)),
        end_unix_nano=max(0, min(start + event.duration_ns, _U64)),
        attributes=_attributes(event, head, traced, rules, error=error),
        failed=bool(error),
    )


_U64: Final = 2**64 - 1


def _attributes(
    event: abi.EventSpan, head: Head, traced: Traced, rules: SpanRules, *, error: str
) -> SpanAttributes:
    method = abi.METHODS[event.method]
    scheme = "https" if event.tls else "http"
    query = redacted(head.query, rules.redacted) if rules.url_query else ""
    version = _VERSIONS.get(event.version, "")
    found: list[tuple[str, AttributeValue | tuple[str, ...]]] = [
        ("http.request.method", method),
        ("url.scheme", scheme),
        ("http.request.body.size", min(event.request_bytes, _I64)),
        ("http.response.body.size", min(event.response_bytes, _I64)),
    ]
    original = head.method if method == _UNKNOWN_METHOD else ""
    optional: tuple[tuple[str, AttributeValue], ...] = (
        ("http.request.method_original", original),
        ("http.response.status_code", event.status),
        ("http.route", traced.route or ""),
        ("error.type", error),
        ("network.protocol.version", version),
        ("url.path", head.path),
        ("url.query", query),
        ("user_agent.original", head.header("user-agent")),
    )
    found += [pair for pair in optional if pair[1]]
    found += _ends(event, head, scheme=scheme, query=query)
    for name in rules.request_headers:
        values = head.headers.get(name)
        if values:
            found.append((f"http.request.header.{name}", values))
    return tuple(found)


_I64: Final = 2**63 - 1


def _ends(
    event: abi.EventSpan, head: Head, *, scheme: str, query: str
) -> list[tuple[str, AttributeValue]]:
    """Who spoke with whom."""
    server = _address(event.family, event.server_address)
    client = _address(event.family, event.client_address)
    host, port = _authority(head.authority)
    is_client = event.role == abi.Role.CLIENT
    named = host or server
    number = port or (_DEFAULT_PORTS[scheme] if host else event.server_port)
    found: list[tuple[str, AttributeValue]] = []
    if named:
        found.append(("server.address", named))
        if number:
            found.append(("server.port", number))
    if is_client:
        peer, peer_port = server, event.server_port
        if named and head.path.startswith("/"):
            shown = head.authority or (f"[{named}]" if ":" in named else named)
            if not head.authority and event.server_port:
                shown += f":{event.server_port}"
            tail = f"?{query}" if query else ""
            found.append(("url.full", f"{scheme}://{shown}{head.path}{tail}"))
    else:
        peer, peer_port = client, event.client_port
        if client:
            found.append(("client.address", client))
    if peer:
        found.append(("network.peer.address", peer))
        if peer_port:
            found.append(("network.peer.port", peer_port))
    return found


@lru_cache(maxsize=1024)
def _authority(text: str) -> tuple[str, int]:
    return authority(text)


@lru_cache(maxsize=4096)
def _address(family: int, raw: bytes) -> str:
    if family == _FAMILY_IPV4:
        return str(IPv4Address(raw[:4]))
    if family == _FAMILY_IPV6:
        return str(IPv6Address(raw))
    return ""


def _error_type(event: abi.EventSpan, *, client: bool) -> str:
    """What went wrong, if anything did; a status is named by its number."""
    if event.fault:
        return _FAULTS.get(event.fault, _UNKNOWN_ERROR)
    if not event.status:
        return _UNKNOWN_ERROR
    failing = _CLIENT_ERROR if client else _SERVER_ERROR
    return str(event.status) if event.status >= failing else ""
