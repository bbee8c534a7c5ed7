"""What became of one OTLP request, of metrics or of spans.

The vocabulary that the transports and the exporter share: values and small pure functions.
"""

from __future__ import annotations

import math
import random
import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal, Protocol, TypeAlias

__all__ = [
    "TOO_LARGE",
    "Outcome",
    "Signal",
    "Transport",
    "pause_seconds",
    "retry_after_seconds",
    "root_cause",
    "scrubbed",
]

Signal: TypeAlias = Literal["metrics", "traces"]

#: Reasons by which a receiver says that the request is too large: smaller ones may be accepted.
TOO_LARGE = frozenset({"413", "RESOURCE_EXHAUSTED"})
#: A receiver that asks for more patience than this is asked again after this.
_RETRY_AFTER_MAX_SECONDS = 3600.0
_DETAIL_CHARACTERS = 200
_USER_INFORMATION = re.compile(r"//[^/?#\s]*@")
_QUERY = re.compile(r"(://[^\s?#]*)[?#][^\s'\")]*")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one request.

    Attributes:
        reason: empty if accepted; else of few values (error.type): a status code, the name of a
            gRPC status, "connection", "timeout", "tls", "proxy", "encode".
        detail: for people; never holds a credential.
        retryable: the same data may be accepted later.
        retry_after_seconds: the receiver's wish; None: none.
        rejected: partial success: so many points or spans were refused for good.
    """

    reason: str = ""
    detail: str = ""
    retryable: bool = False
    retry_after_seconds: float | None = None
    rejected: int = 0

    @property
    def accepted(self) -> bool:
        """Whether the receiver took the request."""
        return not self.reason


class Transport(Protocol):
    """One way to the receiver; it never retries and never raises for what the network does."""

    def send(self, data: Any, *, timeout_seconds: float) -> Outcome:
        """Encode and send once.

        Args:
            data: what the official encoder of the transport's signal takes.
            timeout_seconds: until the answer must be there.
        """

    def close(self) -> None:
        """Let go of connections."""


def pause_seconds(
    failures: int, backoff_seconds: tuple[float, float], wish_seconds: float | None
) -> float:
    """How long to wait after a failure that may pass.

    Args:
        failures: in a row.
        backoff_seconds: the first and the longest pause.
        wish_seconds: of the receiver; None: none.
    """
    first, longest = backoff_seconds
    pause = min(longest, math.ldexp(first, min(failures - 1, 16)))
    pause *= random.uniform(0.8, 1.2)  # noqa: S311 - spreads a fleet, not a secret
    return max(pause, wish_seconds or 0.0)


def scrubbed(text: str) -> str:
    """The text without user information and queries of URLs, on one line and not long."""
    text = _QUERY.sub(r"\1", _USER_INFORMATION.sub("//", text))
    return " ".join(text.split())[:_DETAIL_CHARACTERS]


def root_cause(error: BaseException) -> str:
    """What an error that wraps others was about in the end, scrubbed.

    Outer layers repeat the URL with its query; the innermost says "Connection refused".
    """
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        inner = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((one for one in error.args if isinstance(one, BaseException)), None)
        if inner is None:
            inner = error.__cause__ or error.__context__
        if inner is None:
            break
        error = inner
    if isinstance(error, OSError) and error.strerror:
        return scrubbed(error.strerror)
    return scrubbed(str(error) or type(error).__name__)


def retry_after_seconds(value: str | None, *, now_unix: float) -> float | None:
    """The meaning of a Retry-After header (RFC 9110, 10.2.3): seconds or a date; None if neither.

    Args:
        value: of the header; None if there is none.
        now_unix: the time, to measure a date against.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        # A number of thousands of digits is refused by int(); it means "very long" all the same.
        seconds = float(value[:12])
    else:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - now_unix
        except (TypeError, ValueError, OverflowError):
            return None
    return min(max(seconds, 0.0), _RETRY_AFTER_MAX_SECONDS)
