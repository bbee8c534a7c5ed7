"""What ``otelauto doctor`` does: all checks on one screen, or as JSON.

Only the order, the text and the exit code live here.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from otelauto.config.load import survey
from otelauto.doctor import checks
from otelauto.doctor.checks import Check
from otelauto.doctor.exporters import exporters
from otelauto.errors import NothingSelectedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from otelauto.config.schema import Config

__all__ = ["as_json", "as_text", "doctor", "exit_code"]


def doctor(path: Path | None, environ: Mapping[str, str], *, machine: bool, out: TextIO) -> int:
    """Look at everything, print it; the exit code of the first failure, 0 without any."""
    found = list(_all(path, environ))
    out.write(as_json(found) if machine else as_text(found))
    return exit_code(found)


def exit_code(found: Sequence[Check]) -> int:
    """0 if nothing failed; warnings do not count."""
    return next((check.code for check in found if check.state == "fail"), 0)


def as_json(found: Sequence[Check]) -> str:
    """An object with the checks in order and the exit code."""
    rows = [{key: value for key, value in asdict(each).items() if key != "code"} for each in found]
    return json.dumps({"checks": rows, "exit_code": exit_code(found)}, indent=2) + "\n"


def as_text(found: Sequence[Check]) -> str:
    """A line for each check, and one for each remedy."""
    width = max(len(each.name) for each in found)
    lines = []
    for each in found:
        lines.append(f"{each.state}  {each.name.ljust(width)}  {_printable(each.why)}")
        if each.remedy and each.state != "pass":
            lines.append(f"{'':{width + 8}}-> {_printable(each.remedy)}")
    failed = sum(each.state == "fail" for each in found)
    warned = sum(each.state == "warn" for each in found)
    lines.append(f"{len(found)} checks, {failed} failed, {warned} warnings")
    return "\n".join(lines) + "\n"


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else "?" for one in text)


def _all(path: Path | None, environ: Mapping[str, str]) -> Iterator[Check]:
    config, verdict = _configuration(path, environ)
    yield verdict
    yield from checks.host(config)
    yield checks.probed_hooks()
    yield checks.container()
    yield checks.clock()
    yield checks.disk(Path(config.routes.state_directory or "/"))
    yield checks.agents()
    yield from exporters(config)


def _configuration(path: Path | None, environ: Mapping[str, str]) -> tuple[Config, Check]:
    """What of it is valid, for the other checks, and the verdict."""
    name = "configuration"
    loaded, fault = survey(path, environ=environ)
    if fault is None:
        verdict = Check(name, "pass", f"{loaded.file or 'the environment'} is valid")
    elif isinstance(fault, NothingSelectedError):
        verdict = Check(name, "warn", str(fault), "select something before a start")
    elif path is None and str(fault) == str(survey(None, environ={})[1]):
        verdict = Check(name, "warn", "none was given", "try -config FILE")
    else:
        why = str(fault).replace("\n", "; ")
        verdict = Check(name, "fail", why, "otelauto check FILE says the same", code=2)
    return loaded.config, verdict
