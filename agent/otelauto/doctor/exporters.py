"""What is looked at of the exporters: their ports here and their other ends, each a Check.

Nothing but an empty export request, and a question to whoever holds a port, is sent.
"""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
from typing import TYPE_CHECKING, Final

from otelauto.doctor.checks import Check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otelauto.config.exports import OtelMetricsExport, OtelTracesExport
    from otelauto.config.schema import Config

__all__ = ["endpoint", "exporters", "scrape_port"]

_ANSWER_SECONDS: Final = 5.0
_EVERY_ADDRESS: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def exporters(config: Config) -> Iterator[Check]:
    """The exporters that are on."""
    for name, export in (
        ("otel_metrics_export", config.otel_metrics_export),
        ("otel_traces_export", config.otel_traces_export),
    ):
        if export.enabled:
            yield endpoint(name, export)
    page, internal = config.prometheus_export, config.internal_metrics
    own = internal.prometheus.port if internal.exporter in {"all", "prometheus"} else 0
    secure = bool(page.tls.cert_file)
    if page.enabled:
        yield scrape_port("prometheus_export", page.listen_address, page.port, secure=secure)
    if own and own != page.port:
        name = "internal_metrics.prometheus"
        yield scrape_port(name, page.listen_address, own, secure=secure)


def scrape_port(name: str, host: str, port: int, *, secure: bool = False) -> Check:
    """Whether a Prometheus endpoint can have its port, or an agent has it already."""
    where = f"{host}:{port}"
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        why = f"{where}: {(error.strerror or str(error)).lower()}"
        if error.errno != errno.EADDRINUSE:
            return Check(name, "fail", why, "set another address or port", code=4)
        if _is_agent(_EVERY_ADDRESS.get(host, host), port, secure=secure):
            return Check(name, "pass", f"{where} is held by a running agent")
        remedy = "another program has it (ss -ltnp): stop that, or set another port"
        return Check(name, "fail", why, remedy, code=4)
    return Check(name, "pass", f"{where} is free")


def _is_agent(host: str, port: int, *, secure: bool) -> bool:
    """Whether whoever listens answers /healthz as the agent's endpoint does."""
    connection: http.client.HTTPConnection
    if secure:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            host, port, timeout=_ANSWER_SECONDS, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        return answer.status == 200 and answer.read(16) == b"ok\n"
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def endpoint(name: str, export: OtelMetricsExport | OtelTracesExport) -> Check:
    """Whether the OTLP endpoint answers, and takes the credentials: an empty export is sent."""
    url = export.url
    if url is None:
        return Check(name, "pass", "off")
    parts = url.parts
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        if export.resolved_protocol == "grpc":
            socket.create_connection((parts.hostname or "", port), _ANSWER_SECONDS).close()
            return Check(name, "pass", f"{url} takes connections; credentials were not tried")
        status = _post(export, parts.hostname or "", port, secure=parts.scheme == "https")
    except (OSError, http.client.HTTPException, ValueError) as error:
        remedy = "is the collector running, the name right, the port open, the certificate known?"
        return Check(name, "fail", f"{url}: {error or type(error).__name__}", remedy, code=4)
    return _answered(name, f"{url} answers {status}", status)


def _answered(name: str, why: str, status: int) -> Check:
    if 200 <= status < 300:
        return Check(name, "pass", why)
    if status in {401, 403}:
        return Check(name, "fail", why, f"it refuses the credentials of {name}.headers", code=4)
    if status in {404, 405}:
        return Check(name, "fail", why, "that path takes no OTLP: look at the endpoint", code=4)
    return Check(name, "warn", why, "it answers, but takes no export now", code=4)


def _post(
    export: OtelMetricsExport | OtelTracesExport, host_name: str, port: int, *, secure: bool
) -> int:
    """The status of an export of nothing: no bytes are the empty message."""
    connection: http.client.HTTPConnection
    if secure:
        context = ssl.create_default_context(cafile=export.certificate or None)
        if export.client_certificate:
            context.load_cert_chain(export.client_certificate, export.client_key or None)
        if export.insecure_skip_verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            host_name, port, timeout=_ANSWER_SECONDS, context=context
        )
    else:
        connection = http.client.HTTPConnection(host_name, port, timeout=_ANSWER_SECONDS)
    headers = {"Content-Type": "application/x-protobuf"}
    headers |= {key: value.reveal() for key, value in export.headers}
    target = export.url.parts._replace(scheme="", netloc="", fragment="").geturl()  # type: ignore[union-attr]
    try:
        connection.request("POST", target or "/", b"", headers)
        return connection.getresponse().status
    finally:
        connection.close()
