"""What ``otelauto top`` does: read the agent's Prometheus page again and again, and show it.

Only reading, waiting and the terminal live here.
"""

from __future__ import annotations

import base64
import http.client
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections import deque
from typing import TYPE_CHECKING, Final, TextIO

from otelauto.config.credentials import scrape_password
from otelauto.config.load import survey
from otelauto.errors import ConfigError, OtelautoError
from otelauto.top import table
from otelauto.top.page import read_page

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from otelauto.config.exposition import PrometheusExport
    from otelauto.top.page import Key, Tally

__all__ = ["Source", "View", "source", "top"]

_ANSWER_SECONDS: Final = 10.0
_BARS: Final = 20
_EVERY_ADDRESS: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


class View:
    """What of the page is shown, and how.

    Args:
        sort: one of table.SORTS.
        wanted: only lines with this text.
        services: a line for each service instead of each route.
    """

    def __init__(self, *, sort: str = "rate", wanted: str = "", services: bool = False) -> None:
        self.sort, self.wanted, self.services = sort, wanted, services


class Source:
    """A page, with what it takes to read it.

    Args:
        url: of the page.
        authorization: the header's value; empty for none.
        certificate: file with the certificate of the page, else the system's are trusted.
    """

    def __init__(self, url: str, *, authorization: str = "", certificate: str = "") -> None:
        self.url = url
        self._headers = {"Authorization": authorization} if authorization else {}
        context = ssl.create_default_context(cafile=certificate or None)
        # The name in it is that for scrapers, not that of this host's loopback.
        context.check_hostname = not certificate
        # No proxy of the environment stands between this host and its agent.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    def read(self) -> dict[Key, Tally]:
        """The page as it is now.

        Raises:
            OtelautoError: it cannot be read.
        """
        request = urllib.request.Request(self.url, headers=self._headers)  # noqa: S310 - http(s)
        try:
            with self._opener.open(request, timeout=_ANSWER_SECONDS) as answer:
                return read_page(answer.read().decode())
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise OtelautoError(
                f"{self.url} cannot be read: {reason}",
                hint="is the agent running, and is this its Prometheus page?",
            ) from None


def source(path: Path | None, environ: Mapping[str, str], url: str) -> Source:
    """The page at the URL, else that of the configuration.

    Raises:
        ConfigError: there is none.
    """
    if url:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f'--url: "{url}" does not begin with http:// or https://')
        return Source(url)
    export = survey(path, environ=environ)[0].config.prometheus_export
    if not export.enabled:
        raise ConfigError(
            "the configuration has no prometheus_export.port", hint="set one, or give --url"
        )
    host = _EVERY_ADDRESS.get(export.listen_address, export.listen_address)
    shown = f"[{host}]" if ":" in host else host
    scheme = "https" if export.tls.cert_file else "http"
    return Source(
        f"{scheme}://{shown}:{export.port}{export.path}",
        authorization=_authorization(export),
        certificate=export.tls.cert_file,
    )


def top(
    page: Source,
    view: View,
    *,
    once: bool,
    machine: bool,
    interval_seconds: float,
    out: TextIO,
    wait: Callable[[float], None] = time.sleep,
) -> int:
    """Show the page until the user stops it, or once.

    Raises:
        OtelautoError: the page cannot be read at the start.
    """
    before, then = _read(page, view), time.monotonic()
    history: dict[Key, deque[float]] = {}
    try:
        while True:
            wait(interval_seconds)
            try:
                now, moment = _read(page, view), time.monotonic()
            except OtelautoError as error:
                if once:
                    raise
                _write(out, f"{error}\n", clear=out.isatty())
                continue
            found = table.lines(
                before, now, seconds=max(moment - then, 1e-9), whole=once, history=history
            )
            history = {key: deque(line.rates, _BARS - 1) for key, line in found.items()}
            shown = table.chosen(found.values(), sort=view.sort, wanted=view.wanted)
            text = table.as_json(shown) if machine else _text(shown, out)
            _write(out, text, clear=out.isatty() and not once and not machine)
            if once:
                return 0
            before, then = now, moment
    except KeyboardInterrupt:
        return 0


def _read(page: Source, view: View) -> dict[Key, Tally]:
    found = page.read()
    return table.by_service(found) if view.services else found


def _text(shown: list[table.Line], out: TextIO) -> str:
    if not out.isatty():
        return table.as_text(shown)
    size = shutil.get_terminal_size()
    return table.as_text(shown, width=size.columns, limit=max(3, size.lines - 3), colour=True)


def _write(out: TextIO, text: str, *, clear: bool) -> None:
    out.write(f"\x1b[H\x1b[J{text}" if clear else text)
    out.flush()


def _authorization(export: PrometheusExport) -> str:
    name = export.basic_auth.username
    if not name:
        return ""
    pair = f"{name}:{scrape_password(export.basic_auth).reveal()}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"
