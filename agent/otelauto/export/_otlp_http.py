"""OTLP over HTTP/protobuf: the official exporter on a connection of ours.

Only this transport lives here; it is imported by the exporter when the protocol asks for it. The
official exporter encodes, compresses and posts. What it does with the answer differs from version
to version (up to 64 s of sleep inside, 429 not retried, a redirect taken for success), so the
adapter below, which requests calls for the single HTTP exchange, keeps the answer for us and tells
the exporter that all is well: there is one policy for retries, and it is the exporter's above.

Proxies: HTTP_PROXY, HTTPS_PROXY and NO_PROXY (names, suffixes, CIDR; lower case too) are honoured
by requests. A .netrc file is not.
"""

from __future__ import annotations

import base64
import time
import warnings
from typing import TYPE_CHECKING, Any

import requests
import urllib3.exceptions
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.exporter.otlp.proto.http import Compression
from requests.adapters import HTTPAdapter

from otelauto.errors import ExportError
from otelauto.export import _outcome, _tls
from otelauto.export._outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otelauto.export._outcome import Signal
    from otelauto.export.settings import OtlpSettings

__all__ = ["HttpTransport"]

#: OTLP specification, "Failures": these and nothing else may be retried.
_RETRYABLE = frozenset({429, 502, 503, 504})
#: An answer is a small protobuf message; what is longer is not read.
_ANSWER_MAX_BYTES = 64 * 1024
_KEPT_HEADERS = ("Content-Type", "Content-Encoding", "Content-Length")


class HttpTransport:
    """Sends to one endpoint over one connection that is kept open.

    Args:
        settings: where and how; checked here.
        user_agent: the product's token, put before the exporter's own.
        signal: what is sent.

    Raises:
        ExportError: the endpoint, a header or a certificate cannot be used.
    """

    def __init__(
        self, settings: OtlpSettings, *, user_agent: str, signal: Signal = "metrics"
    ) -> None:
        endpoint, credentials = _tls.basic_credentials(settings.endpoint)
        if not endpoint.startswith(("http://", "https://")):
            raise ExportError(
                f"OTLP exporter: endpoint {_outcome.scrubbed(endpoint)} is no HTTP URL",
                hint="begin it with http:// or https://",
            )
        _tls.check_files(settings)
        exporter, rejected = _official(signal)
        self._adapter = _Adapter(
            rejected,
            headers=_headers(settings, credentials),
            user_agent=user_agent,
            verify=_verify(settings),
            certificate=_client_certificate(settings),
        )
        session = requests.Session()
        # Some object that is not None: otherwise requests looks for credentials in ~/.netrc.
        session.auth = lambda request: request
        session.mount("http://", self._adapter)
        session.mount("https://", self._adapter)
        self._session = session
        self._exporter = exporter(
            endpoint=endpoint,
            headers={"x-unused": "1"},  # none at all would make it read the environment's
            timeout=int(settings.timeout_seconds) or 1,
            compression=Compression(settings.compression),
            session=session,
        )

    def send(self, data: Any, *, timeout_seconds: float) -> Outcome:
        """Encode and send once."""
        self._adapter.timeout_seconds = timeout_seconds
        self._adapter.outcome = None
        try:
            self._exporter.export(data)
        except Exception as error:  # noqa: BLE001 - older encoders raise on what they cannot encode
            return Outcome("encode", _outcome.root_cause(error))
        return self._adapter.outcome or Outcome("encode", "the exporter did not send the data")

    def close(self) -> None:
        """Close the connection."""
        self._session.close()


class _Adapter(HTTPAdapter):
    """One exchange: our headers and TLS settings on the way out, our reading of the answer."""

    def __init__(
        self,
        rejected: Callable[[bytes], tuple[int, str]],
        *,
        headers: Mapping[str, bytes],
        user_agent: str,
        verify: bool | str,
        certificate: str | tuple[str, str] | None,
    ) -> None:
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)
        self._rejected = rejected
        self._headers = headers
        self._user_agent = user_agent
        self._verify = verify
        self._certificate = certificate
        self.timeout_seconds = 10.0
        self.outcome: Outcome | None = None

    def send(  # type: ignore[override]
        self, request: requests.PreparedRequest, **options: Any
    ) -> requests.Response:
        """Make the exchange, keep its outcome, and return an answer that nobody retries."""
        kept = {name: value for name in _KEPT_HEADERS if (value := request.headers.get(name))}
        agent = str(request.headers.get("User-Agent", ""))
        own = agent if agent.startswith("OTel") else ""
        # bytes: a header outside Latin-1 would not be encodable as text
        request.headers.clear()
        request.headers.update(kept)
        request.headers["User-Agent"] = f"{self._user_agent} {own}".strip()
        request.headers.update(self._headers)  # type: ignore[arg-type]
        options |= {
            "stream": True,
            "timeout": self.timeout_seconds,
            "verify": self._verify,
            "cert": self._certificate,
        }
        try:
            with super().send(request, **options) as response:
                self.outcome = _answered(response, self._rejected)
        except Exception as error:  # noqa: BLE001 - urllib3 and ssl let their own types through
            self.outcome = _failed(error)
        taken = requests.Response()
        taken.status_code = 200
        taken.url = str(request.url)
        taken.request = request
        taken._content = b""  # noqa: SLF001 - the documented way to make a response does not exist
        return taken


def _official(signal: Signal) -> tuple[Any, Callable[[bytes], tuple[int, str]]]:
    """The official exporter of a signal, and what tells how much a receiver refused, and why."""
    response: Any
    if signal == "metrics":
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415
            OTLPMetricExporter,
        )
        from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2  # noqa: PLC0415

        response, field = metrics_service_pb2.ExportMetricsServiceResponse, "rejected_data_points"
        exporter: Any = OTLPMetricExporter
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )
        from opentelemetry.proto.collector.trace.v1 import trace_service_pb2  # noqa: PLC0415

        response, field = trace_service_pb2.ExportTraceServiceResponse, "rejected_spans"
        exporter = OTLPSpanExporter

    def rejected(body: bytes) -> tuple[int, str]:
        partial = response.FromString(body).partial_success
        return getattr(partial, field), partial.error_message

    return exporter, rejected


def _answered(
    response: requests.Response, rejected: Callable[[bytes], tuple[int, str]]
) -> Outcome:
    status = response.status_code
    if 200 <= status < 300:
        try:
            number, message = rejected(
                response.raw.read(_ANSWER_MAX_BYTES, decode_content=True) or b""
            )
        except (DecodeError, urllib3.exceptions.HTTPError, OSError):
            # The status says that the data was taken; receivers exist that add text to it, and a
            # body that is cut off must not have the same data sent again.
            return Outcome()
        return Outcome(detail=_outcome.scrubbed(message), rejected=max(0, number))
    return Outcome(
        reason=str(status),
        detail=_outcome.scrubbed(response.reason or ""),
        retryable=status in _RETRYABLE,
        retry_after_seconds=_outcome.retry_after_seconds(
            response.headers.get("Retry-After"), now_unix=time.time()
        ),
    )


def _failed(error: Exception) -> Outcome:
    detail = _outcome.root_cause(error)
    if isinstance(error, requests.exceptions.SSLError):
        return Outcome("tls", detail, retryable=True)
    if isinstance(error, requests.exceptions.ProxyError):
        return Outcome("proxy", detail, retryable=True)
    if isinstance(error, (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError)):
        return Outcome("timeout", detail, retryable=True)
    if isinstance(error, (requests.exceptions.RequestException, OSError)):
        return Outcome("connection", detail, retryable=True)
    return Outcome("connection", detail or type(error).__name__, retryable=True)


def _headers(settings: OtlpSettings, credentials: tuple[str, str] | None) -> dict[str, bytes]:
    headers: dict[str, bytes] = {}
    if credentials is not None:
        pair = ":".join(credentials).encode()
        headers["authorization"] = b"Basic " + base64.b64encode(pair)
    for name, value in settings.headers:
        encoded = value.encode("utf-8", "replace")
        if not _is_token(name) or any(byte < 0x20 or byte == 0x7F for byte in encoded):
            raise ExportError(
                f"OTLP exporter: header {_outcome.scrubbed(name)!r} has an illegal character "
                "in its name or its value",
                hint="remove control characters; values are percent-encoded in variables",
            )
        headers[name.lower()] = encoded
    return headers


def _is_token(name: str) -> bool:
    return bool(name) and all(
        one.isascii() and (one.isalnum() or one in "!#$%&'*+-.^_`|~") for one in name
    )


def _verify(settings: OtlpSettings) -> bool | str:
    if settings.insecure_skip_verify:
        # The exporter has said so once, at start; urllib3 would at each request.
        warnings.filterwarnings("ignore", category=urllib3.exceptions.InsecureRequestWarning)
        return False
    return settings.certificate or _tls.system_roots() or True


def _client_certificate(settings: OtlpSettings) -> str | tuple[str, str] | None:
    if not settings.client_certificate:
        return None
    if settings.client_key:
        return (settings.client_certificate, settings.client_key)
    return settings.client_certificate
