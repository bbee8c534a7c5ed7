"""Reading the configuration: defaults, then the file, then the environment.

Only ``load`` and its result are here. What is declared is in ``schema``, how values come together
in ``_merge``, what options mean together in ``_rules``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from otelauto.config._document import parse_document, read_text, shown_path
from otelauto.config._flatten import Problem, flatten
from otelauto.config._merge import Merge, Origin
from otelauto.config._rules import Finding, findings, settled
from otelauto.config.schema import Config
from otelauto.errors import ConfigError, NothingSelectedError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Loaded", "Origin", "load", "loads", "survey"]

_SHOWN_PROBLEMS = 50


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid configuration.

    Attributes:
        config: the values.
        origins: path of each option, with entries as in discovery.instrument[0].name, to where
            its value comes from; what is missing there is a default.
        notices: what the reader should know, each a sentence with its place.
        file: the file's name; empty if there is none.
    """

    config: Config
    origins: Mapping[str, Origin]
    notices: tuple[str, ...]
    file: str = ""


def load(path: Path | None, *, environ: Mapping[str, str]) -> Loaded:
    """Read, merge and check everything.

    Args:
        path: the YAML file; None if the environment alone configures the agent.
        environ: the environment.

    Raises:
        ConfigError: something is not valid; all that is wrong is in the message, one line each.
        NothingSelectedError: a ConfigError; nothing is wrong but that nothing is selected.
    """
    if path is None:
        return loads("", file="", environ=environ)
    return loads(read_text(path), file=shown_path(path), environ=environ)


def loads(text: str, *, file: str, environ: Mapping[str, str]) -> Loaded:
    """As ``load``, for the text of a file.

    Raises:
        ConfigError: as for ``load``.
    """
    loaded, fault = _read(text, file=file, environ=environ)
    if fault is not None:
        raise fault
    return loaded


def survey(path: Path | None, *, environ: Mapping[str, str]) -> tuple[Loaded, ConfigError | None]:
    """What of the configuration is valid, and what is wrong with the rest; for diagnoses only.

    An option that is not valid has its default; of a file that is no YAML nothing counts.
    """
    fault: ConfigError | None = None
    if path is not None:
        try:
            return _read(read_text(path), file=shown_path(path), environ=environ)
        except ConfigError as error:
            fault = error
    loaded, also = _read("", file="", environ=environ)
    return loaded, fault or also


def _read(
    text: str, *, file: str, environ: Mapping[str, str]
) -> tuple[Loaded, ConfigError | None]:
    root = parse_document(text, file=file)
    merge = Merge(flatten(root), environ)
    config = settled(merge.build(Config, ""), merge.origins)
    merge.note_unknown_variables()
    idle = [_report(finding, merge) and finding.idle for finding in findings(config)]
    fault: ConfigError | None = None
    if merge.problems:
        empty = f"{file}: the file is empty\n" if root is None and file else ""
        kind = NothingSelectedError if len(merge.problems) == sum(idle) else ConfigError
        fault = kind(empty + _message(merge.problems, file))
    notices = sorted(merge.notices, key=lambda notice: notice[0])
    loaded = Loaded(
        config=config,
        origins=MappingProxyType(merge.origins),
        # Options that share a variable have the same to say of it.
        notices=tuple(
            dict.fromkeys(
                (_place(line, "", file) if line else "") + message for line, message in notices
            )
        ),
        file=file,
    )
    return loaded, fault


def _report(finding: Finding, merge: Merge) -> bool:
    """Adds a finding, unless it only follows from a problem that is known already.

    Returns:
        Whether it is a problem.
    """
    if finding.fatal:
        for problem in merge.problems:
            near = any(problem.path.startswith(path) for path in finding.paths)
            if near or (finding.missing and problem.unknown):
                return False
    known = (merge.origins[path] for path in finding.paths if path in merge.origins)
    origin = next(known, Origin())
    if finding.fatal:
        problem = Problem(origin.line, finding.message, variable=origin.variable)
        merge.problems.append(problem)
    else:
        prefix = f"variable {origin.variable}: " if origin.variable else ""
        merge.notices.append((origin.line, prefix + finding.message))
    return finding.fatal


def _message(problems: list[Problem], file: str) -> str:
    # What is written comes first, what is missing last.
    ordered = sorted(problems, key=lambda p: p.line or (0 if p.variable else sys.maxsize))
    lines = [_place(p.line, p.variable, file) + p.message for p in ordered[:_SHOWN_PROBLEMS]]
    if len(ordered) > _SHOWN_PROBLEMS:
        lines.append(f"{len(ordered) - _SHOWN_PROBLEMS} more problems")
    return "\n".join(dict.fromkeys(lines))


def _place(line: int, variable: str, file: str) -> str:
    if variable:
        return f"variable {variable}: "
    if line:
        return f"{file}:{line}: "
    return f"{file}: " if file else ""
