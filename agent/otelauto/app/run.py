"""One run of the agent, from READY to the last export.

Only the order of things lives here: start, signals, reload, stop.
"""

from __future__ import annotations

import gc
import os
import signal
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from otelauto import logs
from otelauto.app.compose import Parts, build
from otelauto.config.changes import applied, diff
from otelauto.config.load import load
from otelauto.discovery.configured import configured_selection
from otelauto.errors import OtelautoError
from otelauto.life.loop import Loop
from otelauto.life.sdnotify import Notifier

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from otelauto.config.load import Loaded
    from otelauto.config.schema import Config

__all__ = ["run"]

_START_SECONDS = 90.0
#: Share of the time to stop in which the last spans are sent.
_SPANS_SHARE = 0.4
_IDLE = "disabled by OTEL_SDK_DISABLED"


def run(path: Path | None, environ: Mapping[str, str]) -> int:
    """Run until SIGTERM or SIGINT.

    Args:
        path: the configuration file; None: variables only.
        environ: of the process.

    Returns:
        0.

    Raises:
        OtelautoError: the agent cannot start.
    """
    loaded = load(path, environ=environ)
    log = logs.set_up(loaded.config.log_level, loaded.config.log_format)
    for notice in loaded.notices:
        log.warning("configuration notice", notice=notice)
    notifier = Notifier(environ)
    with Loop() as loop:
        # A reload that is asked for while the agent starts is made as soon as it is ready.
        loop.on_signal(signal.SIGHUP, lambda: None)
        if loaded.config.sdk_disabled:
            log.warning("OTEL_SDK_DISABLED is set: nothing is instrumented and nothing exported")
            return _idle(loop, notifier)
        notifier.extend_start(_START_SECONDS)
        parts = build(loaded, log)
        try:
            running = _Running(parts, loaded, path=path, environ=environ, log=log)
            return running.until_stopped(loop, notifier)
        finally:
            parts.kernel.close()


def _idle(loop: Loop, notifier: Notifier) -> int:
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.on_signal(number, loop.stop)
    loop.on_signal(signal.SIGHUP, lambda: _reload_idle(notifier))
    if notifier.watchdog_seconds:
        loop.every(notifier.watchdog_seconds, notifier.alive)
    notifier.ready(_IDLE)
    loop.run()
    notifier.stopping()
    return 0


def _reload_idle(notifier: Notifier) -> None:
    notifier.reloading()
    notifier.ready(_IDLE)


@dataclass(slots=True)
class _Running:
    """The state of a run."""

    parts: Parts
    loaded: Loaded
    path: Path | None
    environ: Mapping[str, str]
    log: Any

    def until_stopped(self, loop: Loop, notifier: Notifier) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.on_signal(number, loop.stop)
        loop.on_signal(signal.SIGHUP, lambda: self.reload(notifier))
        loop.on_readable(self.parts.kernel.events.fileno(), self.parts.session.on_events)
        spans = self.parts.spans
        if spans is not None:
            spans.start()
            loop.on_readable(spans.fileno(), spans.on_readable)
        if notifier.watchdog_seconds:
            loop.every(notifier.watchdog_seconds, notifier.alive)
        self.parts.session.start()
        self.parts.exporters.start()
        self._tidy()
        self._say_ready(notifier)
        loop.run()
        notifier.stopping()
        self.log.info("stopping")
        seconds = self.loaded.config.shutdown_timeout_seconds
        if spans is not None:
            # First, so that the last metrics tell what became of the last spans.
            begin = time.monotonic()
            spans.stop(seconds * _SPANS_SHARE)
            seconds = max(0.0, seconds - (time.monotonic() - begin))
        self.parts.exporters.stop(seconds)
        return 0

    def _say_ready(self, notifier: Notifier) -> None:
        for result in self.parts.kernel.degraded:
            self.log.warning("degraded", hook=result.name, meaning=result.consequence)
        targets = len(self.parts.session.targets())
        self.log.info("ready", pid=os.getpid(), processes=targets, hook=self.parts.kernel.way)
        notifier.ready(self._status())

    def _status(self) -> str:
        targets = len(self.parts.session.targets())
        return f"{targets} processes instrumented, hook {self.parts.kernel.way}"

    def _tidy(self) -> None:
        # What has been made up to here stays: the collector need not look at it again.
        gc.collect()
        gc.freeze()

    def reload(self, notifier: Notifier) -> None:
        """Re-read the configuration; an invalid one is refused and the running one stays."""
        notifier.reloading()
        refused = ""
        try:
            fresh = load(self.path, environ=self.environ)
            config = applied(self.loaded.config, fresh.config)
            selection = configured_selection(config)
            # The exporters first: they are all that can refuse what was read without a fault.
            self._reload_exporters(config)
        except OtelautoError as error:
            refused = "; the last reload was refused"
            self.log.error(  # noqa: TRY400 - what was written is wrong, not the agent
                "the reload is refused, the running configuration stays", reason=str(error)
            )
            self.parts.report.reloaded(None)
        else:
            self.parts.session.reselect(config, selection)
            self._adopt(fresh, config)
        notifier.ready(self._status() + refused)

    def _reload_exporters(self, config: Config) -> None:
        spans = self.parts.spans
        if spans is not None:
            spans.reload(config)
        try:
            self.parts.exporters.reload(config)
        except BaseException:
            if spans is not None:
                spans.reload(self.loaded.config)
            raise

    def _adopt(self, fresh: Loaded, config: Config) -> None:
        changes = diff(self.loaded.config, fresh.config)
        if changes.touches("log_level"):
            self.log = logs.set_up(config.log_level, config.log_format)
        self.loaded = replace(fresh, config=config)
        self.parts.report.reloaded(config)
        targets = len(self.parts.session.targets())
        self.log.info("reloaded", changed=list(changes.live), processes=targets)
        restart = list(changes.restart)
        if config.otel_traces_export.enabled and self.parts.spans is None:
            restart.append("otel_traces_export.endpoint")
        if restart:
            self.log.warning("these changes need a restart", options=restart)
        for notice in fresh.notices:
            self.log.warning("configuration notice", notice=notice)
