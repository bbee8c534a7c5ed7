"""The way to a receiver that settings ask for.

Only this choice lives here. A transport's packages are heavy, and are imported when it is asked
for.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from otelauto.export import _outcome

if TYPE_CHECKING:
    from otelauto.export._outcome import Signal, Transport
    from otelauto.export.settings import OtlpSettings

__all__ = ["connected"]


def connected(settings: OtlpSettings, *, signal: Signal, version: str, log: Any) -> Transport:
    """A transport; it connects when it sends.

    Args:
        settings: where and how.
        signal: what is sent.
        version: of the agent, for the user agent.
        log: is warned of what is dangerous.

    Raises:
        ExportError: the settings cannot work (endpoint, header, unreadable certificate).
    """
    agent = f"otelauto/{version or '0'}"
    transport: Transport
    if settings.protocol == "grpc":
        # gRPC writes a line of its own to stderr at each failed attempt, past the throttle.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        from otelauto.export._otlp_grpc import GrpcTransport  # noqa: PLC0415 - 10 MB

        transport = GrpcTransport(settings, user_agent=agent, signal=signal)
    else:
        from otelauto.export._otlp_http import HttpTransport  # noqa: PLC0415 - 8 MB

        transport = HttpTransport(settings, user_agent=agent, signal=signal)
    if settings.insecure_skip_verify and not settings.endpoint.startswith("http://"):
        log.warning(
            "the receiver's certificate is not verified: anybody on the way can read and "
            "change what is sent",
            endpoint=_outcome.scrubbed(settings.endpoint),
            setting="insecure_skip_verify",
        )
    return transport
