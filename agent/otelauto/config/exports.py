# ruff: noqa: RUF009 - opt() and section() make the dataclass fields themselves
"""Options that say where metrics and traces are sent over OTLP.

Only declarations live here (see ``options``), and the rules of the OpenTelemetry Protocol Exporter
specification that turn them into one URL. No exporter is made here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from otelauto.config.exposition import report_peer_option, report_target_option
from otelauto.config.kinds import (
    BOOLEAN,
    PATH,
    TEXT,
    choice,
    duration,
    integer,
    milliseconds,
    sequence,
)
from otelauto.config.selection import Sampler
from otelauto.config.web_kinds import HEADERS, URL
from otelauto.options import Variable, opt, section

if TYPE_CHECKING:
    from otelauto.config.values import Secret, Url

__all__ = [
    "OtelMetricsExport",
    "OtelTracesExport",
    "otlp_url",
]

#: The first four are those of the semantic conventions (url.query); the others hold credentials.
_REDACTED_QUERY_KEYS = (
    "AWSAccessKeyId",
    "Signature",
    "sig",
    "X-Goog-Signature",
    "X-Amz-Signature",
    "X-Amz-Credential",
    "X-Amz-Security-Token",
    "access_token",
    "api_key",
    "apikey",
    "auth",
    "client_secret",
    "code",
    "id_token",
    "jwt",
    "key",
    "password",
    "passwd",
    "pwd",
    "refresh_token",
    "secret",
    "session",
    "sid",
    "token",
)
_PROTOCOLS = ("http/protobuf", "grpc")


def otlp_url(endpoint: Url | None, exact: Url | None, *, protocol: str, path: str) -> Url | None:
    """The URL that a signal is sent to; None if neither endpoint is given.

    The signal's own endpoint is used as it is (an empty path becomes ``/``); the general one is
    a base to which the signal's path is appended, with exactly one slash, unless it already ends
    with it. gRPC takes scheme, host and port only.

    Source: OpenTelemetry Protocol Exporter, endpoint URLs for OTLP/HTTP.
    """
    if protocol == "grpc":
        chosen = exact or endpoint
        return chosen.with_path("") if chosen else None
    if exact:
        return exact if exact.parts.path else exact.with_path("/")
    if endpoint is None:
        return None
    base = endpoint.parts.path.rstrip("/")
    return endpoint.with_path(base if base.endswith(path) else base + path)


def _protocol(signal: str) -> Any:
    return opt(
        "",
        kind=choice("", *_PROTOCOLS),
        help="OTLP transport, `http/protobuf` or `grpc`; empty means `grpc` if the endpoint's"
        " port is 4317, else `http/protobuf`.",
        env=(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"),
    )


def _resolved_protocol(given: str, endpoint: Url | None) -> str:
    if given:
        return given
    return "grpc" if endpoint is not None and endpoint.parts.port == 4317 else "http/protobuf"


def _headers(signal: str) -> Any:
    return opt(
        (),
        kind=HEADERS,
        secret=True,
        help="Headers of every request, as a mapping, or as text `name=value,name=value` with"
        " percent-encoded values.",
        env=(f"OTEL_EXPORTER_OTLP_{signal}_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"),
        example='{authorization: "Bearer ${OTLP_TOKEN}"}',
    )


def _timeout(signal: str) -> Any:
    names = (f"OTEL_EXPORTER_OTLP_{signal}_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
    return opt(
        10.0,
        kind=duration(0.001, 600),
        key="timeout",
        help="How long one request may take; the variables are in milliseconds.",
        env=tuple(Variable(name, milliseconds(0.001, 600), lenient=True) for name in names),
    )


def _export_timeout(*env: str | Variable) -> Any:
    return opt(
        30.0,
        kind=duration(0.001, 600),
        key="export_timeout",
        help="How long one export may take, all retries included.",
        env=env,
    )


def _compression(signal: str) -> Any:
    names = (f"OTEL_EXPORTER_OTLP_{signal}_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION")
    return opt(
        "none",
        kind=choice("none", "gzip"),
        help="Compression of the requests.",
        env=tuple(Variable(name, lenient=True) for name in names),
    )


def _file(signal: str, *, name: str, what: str) -> Any:
    return opt(
        "",
        kind=PATH,
        help=what,
        env=(f"OTEL_EXPORTER_OTLP_{signal}_{name}", f"OTEL_EXPORTER_OTLP_{name}"),
    )


def _endpoint() -> Any:
    return opt(
        None,
        kind=URL,
        help="Base URL of the OTLP receiver, such as `http://localhost:4318`; over HTTP the"
        " signal's path (`/v1/metrics`, `/v1/traces`) is appended unless it already ends so.",
        env=("OTEL_EXPORTER_OTLP_ENDPOINT",),
        example="http://localhost:4318",
    )


def _exact_endpoint(signal: str) -> Any:
    return opt(
        None,
        kind=URL,
        help="URL of the receiver for this signal alone, used exactly as it is written; it wins"
        " over `endpoint`.",
        env=(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT",),
        example=f"https://otlp.example.com/custom/{signal.lower()}",
    )


def _skip_verify() -> Any:
    return opt(
        False,
        kind=BOOLEAN,
        help="Whether the receiver's certificate is taken without verification; it is warned of"
        " at each start.",
        env=("OTEL_INSECURE_SKIP_VERIFY", "BEYLA_OTEL_INSECURE_SKIP_VERIFY"),
    )


_CA = "File with the certificates (PEM) that the receiver's certificate is verified against."
_KEY = "File with the private key (PEM) for mutual TLS."
_CERTIFICATE = "File with the client certificate (PEM) for mutual TLS."


@dataclass(frozen=True, slots=True)
class OtelMetricsExport:
    """Metrics over OTLP."""

    endpoint: Url | None = _endpoint()
    exact_endpoint: Url | None = _exact_endpoint("METRICS")
    protocol: str = _protocol("METRICS")
    headers: tuple[tuple[str, Secret], ...] = _headers("METRICS")
    interval_seconds: float = opt(
        5.0,
        kind=duration(0.1, 3600),
        key="interval",
        help="Time between two exports; OTEL_METRIC_EXPORT_INTERVAL is in milliseconds.",
        env=(
            "METRICS_INTERVAL",
            "BEYLA_METRICS_INTERVAL",
            Variable("OTEL_METRIC_EXPORT_INTERVAL", milliseconds(0.1, 3600), lenient=True),
        ),
    )
    export_timeout_seconds: float = _export_timeout(
        Variable("OTEL_METRIC_EXPORT_TIMEOUT", milliseconds(0.001, 600), lenient=True)
    )
    timeout_seconds: float = _timeout("METRICS")
    compression: str = _compression("METRICS")
    certificate: str = _file("METRICS", name="CERTIFICATE", what=_CA)
    client_key: str = _file("METRICS", name="CLIENT_KEY", what=_KEY)
    client_certificate: str = _file("METRICS", name="CLIENT_CERTIFICATE", what=_CERTIFICATE)
    insecure_skip_verify: bool = _skip_verify()
    temporality: str = opt(
        "cumulative",
        kind=choice("cumulative", "delta", "lowmemory"),
        help="Temporality of counters and histograms: `cumulative` loses nothing when an export"
        " fails; `delta` and `lowmemory` as in the OpenTelemetry specification.",
        env=(Variable("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", lenient=True),),
    )
    histogram_aggregation: str = opt(
        "explicit_bucket_histogram",
        kind=choice("explicit_bucket_histogram"),
        help="Form of the histograms; the kernel counts in explicit buckets.",
        env=(Variable("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", lenient=True),),
    )
    report_target: bool = report_target_option()
    report_peer: bool = report_peer_option()

    @property
    def enabled(self) -> bool:
        """Whether metrics are sent over OTLP."""
        return self.endpoint is not None or self.exact_endpoint is not None

    @property
    def resolved_protocol(self) -> str:
        """``http/protobuf`` or ``grpc``, guessed from the port if it is not given."""
        return _resolved_protocol(self.protocol, self.exact_endpoint or self.endpoint)

    @property
    def url(self) -> Url | None:
        """Where metrics go, complete; for gRPC scheme, host and port."""
        return otlp_url(
            self.endpoint,
            self.exact_endpoint,
            protocol=self.resolved_protocol,
            path="/v1/metrics",
        )


@dataclass(frozen=True, slots=True)
class OtelTracesExport:
    """Traces over OTLP."""

    endpoint: Url | None = _endpoint()
    exact_endpoint: Url | None = _exact_endpoint("TRACES")
    protocol: str = _protocol("TRACES")
    headers: tuple[tuple[str, Secret], ...] = _headers("TRACES")
    timeout_seconds: float = _timeout("TRACES")
    compression: str = _compression("TRACES")
    certificate: str = _file("TRACES", name="CERTIFICATE", what=_CA)
    client_key: str = _file("TRACES", name="CLIENT_KEY", what=_KEY)
    client_certificate: str = _file("TRACES", name="CLIENT_CERTIFICATE", what=_CERTIFICATE)
    insecure_skip_verify: bool = _skip_verify()
    sampler: Sampler = section(Sampler, help="Which traces are kept.")
    max_spans_per_second: int = opt(
        1000,
        kind=integer(0, 10_000_000),
        help="Most spans of this host in a second; further ones are left out in the kernel and"
        " counted. 0 means no bound.",
    )
    url_query: bool = opt(
        False,
        kind=BOOLEAN,
        help="Whether spans have the query of the request's URL, without the values of"
        " `redacted_query_keys`.",
    )
    redacted_query_keys: tuple[str, ...] = opt(
        _REDACTED_QUERY_KEYS,
        kind=sequence(TEXT),
        help="Names of the query's parameters whose value is replaced by `REDACTED`, in any case"
        " of letters.",
    )
    request_headers: tuple[str, ...] = opt(
        (),
        kind=sequence(TEXT),
        help="Names of the request headers that become attributes, as"
        " `http.request.header.<name>`.",
        example="[x-request-id]",
    )
    max_export_batch_size: int = opt(
        4096,
        kind=integer(1, 1_000_000),
        help="Most spans in one request.",
        env=(
            "OTLP_TRACES_MAX_EXPORT_BATCH_SIZE",
            "BEYLA_OTLP_TRACES_MAX_EXPORT_BATCH_SIZE",
            Variable("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", lenient=True),
        ),
        aliases=("batch_max_size",),
    )
    max_queue_size: int = opt(
        4096,
        kind=integer(1, 10_000_000),
        help="Most spans that wait for export; further ones are dropped and counted.",
        env=(
            "OTLP_TRACES_MAX_QUEUE_SIZE",
            "BEYLA_OTLP_TRACES_MAX_QUEUE_SIZE",
            Variable("OTEL_BSP_MAX_QUEUE_SIZE", lenient=True),
        ),
        aliases=("queue_size",),
    )
    batch_timeout_seconds: float = opt(
        5.0,
        kind=duration(0.001, 600),
        key="batch_timeout",
        help="How long a batch waits to become full.",
        env=(
            "OTLP_TRACES_BATCH_TIMEOUT",
            "BEYLA_OTLP_TRACES_BATCH_TIMEOUT",
            Variable("OTEL_BSP_SCHEDULE_DELAY", milliseconds(0.001, 600), lenient=True),
        ),
    )
    export_timeout_seconds: float = _export_timeout(
        "OTLP_TRACES_EXPORT_TIMEOUT",
        "BEYLA_OTLP_TRACES_EXPORT_TIMEOUT",
        Variable("OTEL_BSP_EXPORT_TIMEOUT", milliseconds(0.001, 600), lenient=True),
    )

    @property
    def enabled(self) -> bool:
        """Whether traces are to be sent over OTLP."""
        return self.endpoint is not None or self.exact_endpoint is not None

    @property
    def resolved_protocol(self) -> str:
        """``http/protobuf`` or ``grpc``, guessed from the port if it is not given."""
        return _resolved_protocol(self.protocol, self.exact_endpoint or self.endpoint)

    @property
    def url(self) -> Url | None:
        """Where traces go, complete; for gRPC scheme, host and port."""
        return otlp_url(
            self.endpoint, self.exact_endpoint, protocol=self.resolved_protocol, path="/v1/traces"
        )
