# ruff: noqa: RUF009 - opt() and section() make the dataclass fields themselves
"""Options of the Prometheus endpoint, the agent's own metrics, and what all exporters share.

Only declarations live here (see ``options``). Nothing listens here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from otelauto.config.kinds import BOOLEAN, PATH, TEXT, bounds, choice, integer
from otelauto.config.values import Secret
from otelauto.config.web_kinds import SECRET, URL_PATH
from otelauto.options import Variable, opt, section

__all__ = [
    "BasicAuth",
    "Buckets",
    "InternalMetrics",
    "InternalPrometheus",
    "PrometheusExport",
    "Tls",
    "report_peer_option",
    "report_target_option",
]

_NO_TARGET = (
    "the number of paths has no bound; `routes.unmatched: path` exports them, bounded, as"
    " `http.route`"
)
_NO_PEER = (
    "client metrics always have `server.address` and `server.port`, and the addresses of a"
    " server's clients have no bound"
)


def report_target_option() -> Any:
    """Declare report_target."""
    return opt(
        False,
        kind=BOOLEAN,
        help="Whether Beyla adds the request's path to the metrics.",
        env=("METRICS_REPORT_TARGET", "BEYLA_METRICS_REPORT_TARGET"),
        inert=_NO_TARGET,
    )


def report_peer_option() -> Any:
    """Declare report_peer."""
    return opt(
        False,
        kind=BOOLEAN,
        help="Whether Beyla adds the other side's address to the metrics.",
        env=("METRICS_REPORT_PEER", "BEYLA_METRICS_REPORT_PEER"),
        inert=_NO_PEER,
    )


@dataclass(frozen=True, slots=True)
class Buckets:
    """Upper bounds of the histograms' buckets; the kernel counts in them for all exporters."""

    duration_histogram_seconds: tuple[float, ...] = opt(
        (0, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
        kind=bounds(23),
        key="duration_histogram",
        help="Bounds of the durations, in seconds.",
        reload="restart",
    )
    request_size_histogram_bytes: tuple[float, ...] = opt(
        (0, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192),
        kind=bounds(15),
        key="request_size_histogram",
        help="Bounds of the request bodies' sizes, in bytes.",
        reload="restart",
    )
    response_size_histogram_bytes: tuple[float, ...] = opt(
        (0, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192),
        kind=bounds(15),
        key="response_size_histogram",
        help="Bounds of the response bodies' sizes, in bytes.",
        reload="restart",
    )


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS of the Prometheus endpoint."""

    cert_file: str = opt(
        "",
        kind=PATH,
        help="File with the server's certificate chain (PEM).",
    )
    key_file: str = opt(
        "",
        kind=PATH,
        help="File with the server's private key (PEM).",
    )


@dataclass(frozen=True, slots=True)
class BasicAuth:
    """Basic authentication of the Prometheus endpoint; on if a user name is given."""

    username: str = opt("", kind=TEXT, help="User name that a scraper must give.")
    password: Secret = opt(
        Secret(""),
        kind=SECRET,
        secret=True,
        help="Password; better given by its variable or by `password_file`.",
    )
    password_file: str = opt(
        "", kind=PATH, help="File whose first line is the password; read again at each reload."
    )


@dataclass(frozen=True, slots=True)
class PrometheusExport:
    """Metrics to be scraped."""

    port: int = opt(
        0,
        kind=integer(0, 65535),
        help="Port of the endpoint; 0 means none.",
        env=(
            "PROMETHEUS_PORT",
            "BEYLA_PROMETHEUS_PORT",
            Variable("OTEL_EXPORTER_PROMETHEUS_PORT", lenient=True),
        ),
        example="9400",
    )
    path: str = opt(
        "/metrics",
        kind=URL_PATH,
        help="Path of the endpoint.",
        env=("PROMETHEUS_PATH", "BEYLA_PROMETHEUS_PATH"),
    )
    listen_address: str = opt(
        "127.0.0.1",
        kind=TEXT,
        help="Address on which the endpoint listens; `0.0.0.0` or `::` means all.",
        env=("OTEL_EXPORTER_PROMETHEUS_HOST",),
    )
    tls: Tls = section(Tls, help="TLS of the endpoint; both files or none.")
    basic_auth: BasicAuth = section(BasicAuth, help="Basic authentication of the endpoint.")
    report_target: bool = report_target_option()
    report_peer: bool = report_peer_option()

    @property
    def enabled(self) -> bool:
        """Whether there is an endpoint."""
        return self.port != 0


@dataclass(frozen=True, slots=True)
class InternalPrometheus:
    """An endpoint of its own for the agent's own metrics."""

    port: int = opt(
        0,
        kind=integer(0, 65535),
        help="Port of an own endpoint for the agent's own metrics; 0 means that they stand with"
        " the others at `prometheus_export`.",
        env=("INTERNAL_METRICS_PROMETHEUS_PORT", "BEYLA_INTERNAL_METRICS_PROMETHEUS_PORT"),
        elsewhere=("internal_metrics.port",),
    )
    path: str = opt(
        "/internal/metrics",
        kind=URL_PATH,
        help="Path of that endpoint.",
        env=("INTERNAL_METRICS_PROMETHEUS_PATH", "BEYLA_INTERNAL_METRICS_PROMETHEUS_PATH"),
        elsewhere=("internal_metrics.path",),
    )


@dataclass(frozen=True, slots=True)
class InternalMetrics:
    """The agent's own metrics."""

    exporter: str = opt(
        "all",
        kind=choice("all", "prometheus", "otel", "disabled"),
        help="Which exporters carry the agent's own metrics: `all` that are on, only one, or"
        " none.",
        env=("BEYLA_INTERNAL_METRICS_EXPORTER",),
    )
    prometheus: InternalPrometheus = section(
        InternalPrometheus, help="An endpoint of its own for the agent's own metrics."
    )
