"""The Prometheus endpoint: pages of the agent's metrics for whoever scrapes.

Here lives what is on which page and in which format; the HTTP server (``_page_server``) and the
text (``_exposition``) are elsewhere. Each scrape collects anew. Job and instance of the services
are labels of their own, so a scrape configuration should set ``honor_labels: true``; without it
Prometheus renames them to exported_job and exported_instance.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from otelauto.errors import ExportError
from otelauto.export import _tls
from otelauto.export._merge import merged
from otelauto.export._page_server import Access, Answer, Limits, PageServer
from otelauto.logs import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otelauto.export._http_head import Head
    from otelauto.export.settings import PrometheusSettings
    from otelauto.model import Collect, Snapshot

__all__ = ["PrometheusExporter"]

_PLAIN_TEXT = "text/plain; charset=utf-8"


class PrometheusExporter:
    """Serves from start() to stop().

    Args:
        settings: see PrometheusSettings.
        collect: called from the server's thread, never by two scrapes at a time.
        log: a structlog logger; None: structlog's own.
        clock: monotonic seconds.
        limits: what a client may take; None: the defaults.

    Raises:
        ExportError: the settings cannot work (paths, unreadable certificate).
    """

    def __init__(
        self,
        settings: PrometheusSettings,
        collect: Collect,
        *,
        log: Any = None,
        clock: Callable[[], float] = time.monotonic,
        limits: Limits | None = None,
    ) -> None:
        if log is None:
            import structlog  # noqa: PLC0415 - only if nobody gives a logger

            log = structlog.get_logger("otelauto.export.prometheus")
        self._log = log
        self._collect = collect
        self._throttle = Throttle(clock)
        access = _access(settings)
        self._servers = tuple(
            PageServer(
                settings.listen_address,
                port,
                pages={
                    path: _Page(self._snapshot, self._failed, internal=internal)
                    for path, internal in pages.items()
                },
                access=access,
                limits=limits,
                failed=self._failed,
            )
            for port, pages in _ports(settings).items()
        )

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports in use: of the services' metrics first."""
        return tuple(server.port for server in self._servers)

    @property
    def scrapes(self) -> Mapping[int, int]:
        """How many requests were answered since the start, by status code."""
        total: dict[int, int] = {}
        for server in self._servers:
            for status, number in server.answers.items():
                total[status] = total.get(status, 0) + number
        return total

    def start(self) -> None:
        """Bind every port and serve.

        Raises:
            ExportError: a port is busy or the address is not this host's; nothing is served then.
        """
        try:
            for server in self._servers:
                server.start()
        except ExportError:
            self.stop()
            raise

    def stop(self, timeout_seconds: float = 2.0) -> None:
        """Close the ports."""
        for server in self._servers:
            server.stop(timeout_seconds)

    def _snapshot(self) -> Snapshot:
        return merged(self._collect())

    def _failed(self, error: Exception) -> None:
        held = self._throttle.admit(type(error).__name__)
        if held is not None:
            self._log.error("a scrape failed", error=f"{type(error).__name__}: {error}", **held)


class _Page:
    """One path; internal: True the agent's own metrics, False the services', None both."""

    def __init__(
        self,
        collect: Callable[[], Snapshot],
        failed: Callable[[Exception], None],
        *,
        internal: bool | None,
    ) -> None:
        from otelauto.export._exposition import Page  # noqa: PLC0415 - loads prometheus_client

        self._page = Page()
        self._collect = collect
        self._failed = failed
        self._internal = internal

    def __call__(self, head: Head) -> Answer:
        open_metrics, content_type = _format(head.headers.get("accept", ""))
        try:
            snapshot = self._collect()
            if self._internal is not None:
                snapshot = replace(
                    snapshot,
                    resources=tuple(
                        one for one in snapshot.resources if one.internal == self._internal
                    ),
                )
            pieces = self._page.chunks(snapshot, open_metrics=open_metrics)
            first = next(pieces)
        except Exception as error:  # noqa: BLE001 - this scrape fails; the next may not
            self._failed(error)
            return Answer(500, _PLAIN_TEXT, (b"500 the metrics cannot be collected now\n",))
        return Answer(200, content_type, itertools.chain((first,), pieces))


def _format(accept: str) -> tuple[bool, str]:
    """Whether OpenMetrics was asked for, and the content type: prometheus_client's decision."""
    from prometheus_client.exposition import choose_encoder  # noqa: PLC0415 - see _Page

    _, content_type = choose_encoder(accept)
    if content_type.startswith("application/openmetrics-text"):
        # The page keeps to 1.0.0, whatever later version the client would also take.
        return True, "application/openmetrics-text; version=1.0.0; charset=utf-8"
    return False, "text/plain; version=0.0.4; charset=utf-8"


def _access(settings: PrometheusSettings) -> Access:
    if settings.key and not settings.certificate:
        raise ExportError(
            f"Prometheus endpoint: key {settings.key} has no certificate",
            hint="set both or neither",
        )
    tls = None
    if settings.certificate:
        tls = _tls.server_context(
            settings.certificate, settings.key, what="Prometheus endpoint: certificate"
        )
    return Access(tls, settings.username, settings.password)


def _ports(settings: PrometheusSettings) -> Mapping[int, Mapping[str, bool | None]]:
    """Which pages each port serves."""
    for path in (settings.path, settings.internal_path):
        plain = path.isascii() and path.isprintable() and not set(path) & set(" ?#")
        if not path.startswith("/") or not plain or path == "/healthz":
            raise ExportError(
                f"Prometheus endpoint: path {path!r} is not valid",
                hint='begin it with "/", leave spaces, "?" and "#" out; "/healthz" is taken',
            )
    ports: dict[int, dict[str, bool | None]] = {}
    if settings.port is not None:
        ports[settings.port] = {settings.path: None if settings.internal_port is None else False}
    if settings.internal_port is not None:
        pages = ports.setdefault(settings.internal_port, {})
        both = settings.internal_path in pages
        pages[settings.internal_path] = None if both else True
    return ports
