"""OTLP over gRPC: the official encoder and the official client stub on a channel of ours.

Only this transport lives here; it is imported by the exporter when the protocol asks for it,
because gRPC costs ten megabytes. The official exporter class cannot be used: it hides the answer
(partial success), sleeps up to 64 s inside in older versions, and takes no channel of ours.

Proxies: gRPC itself honours http_proxy, https_proxy, grpc_proxy and no_proxy, in lower case only.
"""

from __future__ import annotations

import base64
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import grpc  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from otelauto.errors import ExportError
from otelauto.export import _outcome, _tls
from otelauto.export._outcome import Outcome

if TYPE_CHECKING:
    from otelauto.export._outcome import Signal
    from otelauto.export.settings import OtlpSettings

__all__ = ["GrpcTransport"]

#: OTLP specification, "Failures": these may be retried; RESOURCE_EXHAUSTED only with RetryInfo.
_RETRYABLE = frozenset(
    {"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"}
)
_REASONS = {"DEADLINE_EXCEEDED": "timeout", "UNAVAILABLE": "connection"}
_TLS_SIGNS = ("certificate", "ssl", "tls", "handshake", "verification")


class GrpcTransport:
    """Sends to one endpoint over one channel, which reconnects by itself.

    Args:
        settings: where and how; checked here.
        user_agent: the product's token, put before gRPC's own.
        signal: what is sent.

    Raises:
        ExportError: the endpoint, a header or a certificate cannot be used.
    """

    def __init__(
        self, settings: OtlpSettings, *, user_agent: str, signal: Signal = "metrics"
    ) -> None:
        endpoint, credentials = _tls.basic_credentials(settings.endpoint)
        self._target, self._secure = _target(endpoint)
        _tls.check_files(settings)
        self._settings = settings
        self._user_agent = user_agent
        self._metadata = _metadata(settings, credentials)
        self._channel: grpc.Channel | None = None
        self._encode, self._stub, self._refused_field = _official(signal)

    def send(self, data: Any, *, timeout_seconds: float) -> Outcome:
        """Encode and send once."""
        try:
            request = self._encode(data)
        except Exception as error:  # noqa: BLE001 - one bad batch must not end the exporter
            return Outcome("encode", _outcome.root_cause(error))
        try:
            if self._channel is None:
                self._channel = self._open(timeout_seconds)
            answer = self._stub(self._channel).Export(
                request, metadata=self._metadata, timeout=timeout_seconds
            )
        except grpc.RpcError as error:
            outcome = _refused(error)
            if outcome.reason in {"connection", "tls"}:
                # A new channel tries at once; the old one keeps a back-off of its own.
                self.close()
            return outcome
        except OSError as error:
            return Outcome("connection", _outcome.root_cause(error), retryable=True)
        partial = answer.partial_success
        return Outcome(
            detail=_outcome.scrubbed(partial.error_message),
            rejected=max(0, getattr(partial, self._refused_field)),
        )

    def close(self) -> None:
        """Close the channel; the next send opens another."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def _open(self, timeout_seconds: float) -> grpc.Channel:
        options: list[tuple[str, Any]] = [("grpc.primary_user_agent", self._user_agent)]
        compression = (
            grpc.Compression.Gzip
            if self._settings.compression == "gzip"
            else grpc.Compression.NoCompression
        )
        if not self._secure:
            return grpc.insecure_channel(self._target, options=options, compression=compression)
        roots = self._settings.certificate or _tls.system_roots()
        trusted = Path(roots).read_bytes() if roots else None
        if self._settings.insecure_skip_verify:
            trusted, name = _whatever_it_shows(
                self._target, self._settings, timeout_seconds=timeout_seconds
            )
            options.append(("grpc.ssl_target_name_override", name))
        chain = self._settings.client_certificate
        key = self._settings.client_key or chain
        return grpc.secure_channel(
            self._target,
            grpc.ssl_channel_credentials(
                root_certificates=trusted,
                private_key=Path(key).read_bytes() if chain else None,
                certificate_chain=Path(chain).read_bytes() if chain else None,
            ),
            options=options,
            compression=compression,
        )


def _official(signal: Signal) -> tuple[Any, Any, str]:
    """The official encoder and stub of a signal, and where an answer says how much it refused."""
    if signal == "metrics":
        from opentelemetry.exporter.otlp.proto.common.metrics_encoder import (  # noqa: PLC0415
            encode_metrics,
        )
        from opentelemetry.proto.collector.metrics.v1 import (  # noqa: PLC0415
            metrics_service_pb2_grpc,
        )

        return encode_metrics, metrics_service_pb2_grpc.MetricsServiceStub, "rejected_data_points"
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import (  # noqa: PLC0415
        encode_spans,
    )
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc  # noqa: PLC0415

    return encode_spans, trace_service_pb2_grpc.TraceServiceStub, "rejected_spans"


def _target(endpoint: str) -> tuple[str, bool]:
    if endpoint.startswith("unix:"):
        return endpoint, False
    parts = urlsplit(endpoint)
    if parts.scheme in {"http", "https"} and parts.netloc:
        return parts.netloc, parts.scheme == "https"
    if "://" not in endpoint and endpoint:
        return endpoint, True
    raise ExportError(
        f"OTLP exporter: endpoint {_outcome.scrubbed(endpoint)} is no gRPC target",
        hint="write http://host:4317 (in clear), https://host:4317 or host:4317 (TLS)",
    )


def _metadata(
    settings: OtlpSettings, credentials: tuple[str, str] | None
) -> tuple[tuple[str, str], ...]:
    metadata: dict[str, str] = {}
    if credentials is not None:
        pair = base64.b64encode(":".join(credentials).encode()).decode()
        metadata["authorization"] = f"Basic {pair}"
    for name, value in settings.headers:
        key = name.lower()
        legal = key and all(one.isascii() and (one.isalnum() or one in "-_.") for one in key)
        if not legal or not all(" " <= one <= "~" for one in value):
            raise ExportError(
                f"OTLP exporter: header {_outcome.scrubbed(name)!r} has a character that gRPC "
                "does not allow in its name or its value",
                hint="use printable ASCII only",
            )
        metadata[key] = value
    return tuple(metadata.items())


def _refused(error: grpc.RpcError) -> Outcome:
    code = error.code().name
    details = error.details() or ""
    wait = _retry_delay_seconds(error)
    reason = _REASONS.get(code, code)
    if reason == "connection" and any(sign in details.lower() for sign in _TLS_SIGNS):
        reason = "tls"
    return Outcome(
        reason=reason,
        detail=_outcome.scrubbed(details) or code,
        retryable=code in _RETRYABLE or (code == "RESOURCE_EXHAUSTED" and wait is not None),
        retry_after_seconds=wait,
    )


def _retry_delay_seconds(error: grpc.RpcError) -> float | None:
    """The delay of a google.rpc.RetryInfo, in a google.rpc.Status or alone; None: none."""
    trailing = dict(error.trailing_metadata() or ())
    info = RetryInfo()
    try:
        if "google.rpc.retryinfo-bin" in trailing:
            info.ParseFromString(trailing["google.rpc.retryinfo-bin"])
            return _seconds(info)
        status = Status.FromString(trailing.get("grpc-status-details-bin", b""))
    except DecodeError:
        return None
    return next((_seconds(info) for detail in status.details if detail.Unpack(info)), None)


def _seconds(info: RetryInfo) -> float:
    delay = float(info.retry_delay.seconds) + float(info.retry_delay.nanos) / 1e9
    return min(max(0.0, delay), 3600.0)


def _whatever_it_shows(
    target: str, settings: OtlpSettings, *, timeout_seconds: float
) -> tuple[bytes, str]:
    """The certificate that the receiver shows now, unverified, and a name that it is made for.

    gRPC has no switch to skip verification. Trusting the very certificate that was shown, under
    its own name, comes to the same; an expired one is still refused.

    Raises:
        OSError: the receiver cannot be reached or does not speak TLS.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if settings.client_certificate:
        context.load_cert_chain(settings.client_certificate, settings.client_key or None)
    shown, _ = _handshake(context, target, timeout_seconds)
    pem = ssl.DER_cert_to_PEM_cert(shown)
    # Only a verified certificate is decoded: a second handshake, which trusts what was shown.
    context.load_verify_locations(cadata=pem)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_mode = ssl.CERT_REQUIRED
    _, fields = _handshake(context, target, timeout_seconds)
    names = [value for kind, value in fields.get("subjectAltName", ()) if kind == "DNS"]
    names += [value for kind, value in fields.get("subjectAltName", ()) if kind != "DNS"]
    for part in fields.get("subject", ()):
        names += [value for kind, value in part if kind == "commonName"]
    return pem.encode(), (names or [target])[0].replace("*.", "any.", 1)


def _handshake(
    context: ssl.SSLContext, target: str, timeout_seconds: float
) -> tuple[bytes, dict[str, Any]]:
    parts = urlsplit(f"//{target}")
    host = parts.hostname or "localhost"
    with (
        socket.create_connection((host, parts.port or 443), timeout=timeout_seconds) as connection,
        context.wrap_socket(connection, server_hostname=host) as session,
    ):
        return session.getpeercert(binary_form=True) or b"", dict(session.getpeercert() or {})
