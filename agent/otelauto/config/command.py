"""What ``otelauto check`` and ``otelauto config`` do.

The command line calls these; they print and return exit codes, and start nothing.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

from otelauto.config.json_schema import json_schema_text
from otelauto.config.load import Loaded, load
from otelauto.config.reference import reference
from otelauto.config.render import effective, example
from otelauto.errors import ConfigError, NothingSelectedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["VERBS", "check", "config_command", "start_condition"]

_TEXTS: Mapping[str, Callable[[], str]] = {
    "reference": reference,
    "schema": json_schema_text,
    "example": example,
}
VERBS = (*_TEXTS, "effective")


def check(
    path: Path | None,
    environ: Mapping[str, str],
    *,
    out: TextIO | None = None,
    err: TextIO | None = None,
) -> int:
    """Whether the configuration is valid: 0, or ConfigError's exit code with all that is wrong.

    Notices and faults go to ``err`` (the standard error), the verdict to ``out``.
    """
    loaded = _load(path, environ, err)
    if loaded is None:
        return ConfigError.exit_code
    print(f"{loaded.file or 'the environment'}: valid", file=out or sys.stdout)
    return 0


def start_condition(
    path: Path | None,
    environ: Mapping[str, str],
    *,
    err: TextIO | None = None,
) -> int:
    """Whether a service manager should start the agent: 1 only if there is nothing to do yet.

    Every other fault is 0: the start itself reports it, with the exit code that belongs to it.
    Source: systemd.service(5), ExecCondition=.
    """
    try:
        load(path, environ=environ)
    except NothingSelectedError as error:
        print(f"not started: {error}", file=err or sys.stderr)
        return 1
    except ConfigError:
        # The same file is read again in a moment, by the agent.
        return 0
    return 0


def config_command(
    verb: str,
    path: Path | None,
    environ: Mapping[str, str],
    *,
    out: TextIO | None = None,
    err: TextIO | None = None,
) -> int:
    """Print one of VERBS: reference (Markdown), schema (JSON), example or effective.

    Returns:
        The exit code: 0, or ConfigError's for an unknown verb or a configuration that is not
        valid.
    """
    if verb == "effective":
        loaded = _load(path, environ, err)
        if loaded is None:
            return ConfigError.exit_code
        text = effective(loaded)
    elif verb in _TEXTS:
        text = _TEXTS[verb]()
    else:
        print(f'otelauto config: "{verb}" is none of {", ".join(VERBS)}', file=err or sys.stderr)
        return ConfigError.exit_code
    (out or sys.stdout).write(text)
    return 0


def _load(path: Path | None, environ: Mapping[str, str], err: TextIO | None) -> Loaded | None:
    try:
        loaded = load(path, environ=environ)
    except ConfigError as error:
        print(error, file=err or sys.stderr)
        return None
    for notice in loaded.notices:
        print(f"notice: {notice}", file=err or sys.stderr)
    return loaded
