"""Spans as lines: of text for people, of JSON for programs.

Pure functions over spans; whoever prints writes them.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from otelauto.export._merge import valid_text

if TYPE_CHECKING:
    from otelauto.model import Span

__all__ = ["json_line", "text_line"]


def text_line(span: Span) -> str:
    """When, how long, what, for whom and in which trace.

    Text from the wire is stripped of whatever a terminal would obey.
    """
    fields = dict(span.attributes)
    outcome = fields.get("http.response.status_code", fields.get("error.type", "-"))
    peer = fields.get("client.address" if span.kind == "server" else "server.address", "-")
    moment = datetime.fromtimestamp(span.start_unix_nano / 1e9, tz=timezone.utc)
    line = " ".join(
        (
            f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}",
            f"({(span.end_unix_nano - span.start_unix_nano) / 1e6:.3f} ms)",
            str(dict(span.resource).get("service.name", "-")),
            "in" if span.kind == "server" else "out",
            str(outcome),
            str(fields.get("http.request.method", "-")),
            str(fields.get("url.path", "-")),
            f"({fields['http.route']})" if "http.route" in fields else "-",
            f"peer={peer}",
            f"trace={span.trace_id.hex()}",
            f"span={span.span_id.hex()}",
            f"parent={span.parent_id.hex() or '-'}",
        )
    )
    return "".join(one if one.isprintable() else "?" for one in valid_text(line)) + "\n"


def json_line(span: Span) -> str:
    """The whole span as an object; ids in hexadecimal."""
    return (
        json.dumps(
            {
                "trace_id": span.trace_id.hex(),
                "span_id": span.span_id.hex(),
                "parent_id": span.parent_id.hex(),
                "trace_state": span.trace_state,
                "name": span.name,
                "kind": span.kind,
                "status": "error" if span.failed else "unset",
                "start_unix_nano": span.start_unix_nano,
                "end_unix_nano": span.end_unix_nano,
                "attributes": dict(span.attributes),
                "resource": dict(span.resource),
            }
        )
        + "\n"
    )
