"""What each exporter has to be told; the composition root fills these from the configuration.

Only frozen settings live here, without I/O and without heavy imports, so that whoever builds them
does not load an exporter. Values are resolved: no environment variable is read behind their back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["OtlpSettings", "PrometheusSettings", "SpanBatches"]


@dataclass(frozen=True, slots=True, repr=False)
class OtlpSettings:
    """Where and how metrics, or spans, are pushed over OTLP.

    Attributes:
        endpoint: HTTP: the full URL, including the signal's path; gRPC: "http://host:port" in
            clear, "https://host:port" or "host:port" over TLS. User information in the URL becomes
            a basic Authorization header and is never logged.
        headers: sent with each request; names are case-insensitive.
        timeout_seconds: of one request.
        export_timeout_seconds: of all requests of one export.
        certificate: PEM file of the certification authorities to trust; empty: the system's.
        client_key: PEM file of the client's private key; empty: none.
        client_certificate: PEM file of the client's certificate chain; empty: none.
        insecure_skip_verify: accept any certificate of the receiver; warned of at each start.
        temporality: metrics: "delta" for counters and histograms, "lowmemory" for histograms only.
        interval_seconds: metrics: between the starts of two exports.
        batch_points: metrics: at most so many data points in one request, so that no receiver's
            default limit on the size of a message (4 MiB for gRPC) is met.
    """

    endpoint: str
    protocol: Literal["http/protobuf", "grpc"] = "http/protobuf"
    headers: tuple[tuple[str, str], ...] = ()
    timeout_seconds: float = 10.0
    export_timeout_seconds: float = 30.0
    compression: Literal["none", "gzip"] = "none"
    certificate: str = ""
    client_key: str = ""
    client_certificate: str = ""
    insecure_skip_verify: bool = False
    temporality: Literal["cumulative", "delta", "lowmemory"] = "cumulative"
    interval_seconds: float = 5.0
    batch_points: int = 4000

    def __repr__(self) -> str:
        # Headers and the endpoint may hold credentials; a traceback or a log must not.
        return (
            f"OtlpSettings(protocol={self.protocol!r}, interval_seconds={self.interval_seconds})"
        )


@dataclass(frozen=True, slots=True)
class SpanBatches:
    """How spans wait for their export (OpenTelemetry, trace SDK, batching processor).

    Attributes:
        queue_size: most spans that wait; further ones are dropped and counted.
        batch_size: most spans in one request.
        delay_seconds: how long a span waits for others at most.
    """

    queue_size: int = 4096
    batch_size: int = 4096
    delay_seconds: float = 5.0


@dataclass(frozen=True, slots=True, repr=False)
class PrometheusSettings:
    """Where the Prometheus endpoint listens.

    Attributes:
        port: TCP port; 0: any free one (tests); None: no endpoint for the services' metrics.
        path: of the page with the services' metrics.
        listen_address: address to bind; "" is every interface by IPv4, "::" by IPv4 and IPv6.
        certificate: PEM file of the server's certificate chain; empty: plain HTTP.
        key: PEM file of its private key.
        username: of basic authentication; empty: none.
        internal_port: where the agent's own metrics are; None: on the page of the services'
            metrics; the same as port: there, under internal_path.
        internal_path: of the page with the agent's own metrics.
    """

    port: int | None
    path: str = "/metrics"
    listen_address: str = "127.0.0.1"
    certificate: str = ""
    key: str = ""
    username: str = ""
    password: str = ""
    internal_port: int | None = None
    internal_path: str = "/internal/metrics"

    def __repr__(self) -> str:
        return f"PrometheusSettings(listen_address={self.listen_address!r}, port={self.port})"
