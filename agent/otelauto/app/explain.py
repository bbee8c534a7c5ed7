"""What ``otelauto explain`` does: the decision about processes, read anew, without an agent.

Only finding the processes, asking about the path and the text live here.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from otelauto.abi._layout import Route
from otelauto.app.services import route_rules, service_key
from otelauto.config.load import survey
from otelauto.discovery.configured import configured_selection
from otelauto.discovery.decision import Decider
from otelauto.discovery.explain import explain_process
from otelauto.discovery.identity import Host, read_host
from otelauto.discovery.proc import list_pids, open_process
from otelauto.discovery.sockets import SocketTables
from otelauto.errors import NothingSelectedError
from otelauto.routes.pattern import parse_patterns
from otelauto.routes.store import RouteStore
from otelauto.routes.table import RouteTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otelauto.config.schema import Config
    from otelauto.discovery.explain import Explanation

__all__ = ["NOTHING_SELECTED", "explain", "find", "path_route"]

#: Exit code of an explanation by a configuration that selects nothing at all.
NOTHING_SELECTED: Final = 5


def explain(
    what: str,
    path: Path | None,
    environ: Mapping[str, str],
    *,
    url_path: str | None,
    machine: bool,
    out: TextIO,
    proc: Path = Path("/proc"),
) -> int:
    """Explain each process that is meant.

    Returns:
        1 if there is none, NOTHING_SELECTED if the configuration has no selector, else 0.

    Raises:
        ConfigError: the configuration is not valid.
    """
    loaded, fault = survey(path, environ=environ)
    if fault is not None and not isinstance(fault, NothingSelectedError):
        raise fault
    config = loaded.config
    pids = find(what, proc)
    if not pids:
        sys.stderr.write(f"otelauto: {what} is no process, listening port or unit with one\n")
        return 1
    found = read_host(name=config.attributes.instance_id.override_hostname)
    host = Host(found.name, config.attributes.host_id.override or found.id)
    selection = configured_selection(config)
    # What this command starts (nothing) is not what the agent starts: no process is its own.
    decider = Decider(selection, proc=proc, host=host, own_pid=0)
    answers = []
    for pid in pids:
        explanation = explain_process(pid, decider, proc=proc)
        answer = _plain(explanation)
        if url_path is not None:
            answer["path"] = path_route(config, explanation, url_path)
        answers.append(answer)
    if machine:
        out.write(json.dumps(answers, indent=2) + "\n")
    else:
        out.write("\n".join(_text(answer) for answer in answers))
    return 0 if fault is None else NOTHING_SELECTED


def find(what: str, proc: Path) -> list[int]:
    """The processes that are meant: by id, else by a port they listen on, else by their unit."""
    number = what.removeprefix(":")
    if number.isdecimal() and number == what and (proc / number).is_dir():
        return [int(number)]
    port = int(number) if number.isdecimal() else None
    units = {what, f"{what}.service"}
    tables, found = SocketTables(), []
    for pid in list_pids(proc):
        view = open_process(proc, pid, tables=tables)
        if view is None:
            continue
        with view:
            if port in view.listen_ports if port is not None else view.place.unit in units:
                found.append(pid)
    return found


def path_route(config: Config, explanation: Explanation, text: str) -> dict[str, Any]:
    """The route that a path has, by the patterns and by what has been learned, and why."""
    if explanation.target is None:
        return {"path": text, "route": None, "reason": "there is no service"}
    rules = route_rules(config, explanation.routes)
    directory = config.routes.state_directory
    store = RouteStore(Path(directory), _warn) if directory else None
    table = RouteTable(seed=0, store=store)
    table.service_added(1, key=service_key(explanation.target.service), rules=rules)
    number = table.resolve(1, text.encode("utf-8", "surrogateescape"))
    name = table.route_name(1, number)
    configured = {pattern.name for pattern in parse_patterns(rules.patterns)}
    if table.is_ignored(1, number):
        reason = "matches an ignored pattern: not reported"
    elif number == Route.NONE:
        reason = "no pattern matches, and routes.unmatched is unset"
    elif number == Route.OTHER:
        reason = "the service has as many routes as it may have (routes.max_per_service)"
    elif number == Route.WILDCARD:
        reason = f"no pattern matches, nor any learned route (unmatched: {rules.unmatched})"
    elif name in configured:
        reason = "matches a configured pattern"
    else:
        reason = f"was learned from successful requests (unmatched: {rules.unmatched})"
    return {"path": text, "route": name, "reason": reason}


def _warn(message: str) -> None:
    sys.stderr.write(f"otelauto: {message}\n")


def _plain(explanation: Explanation) -> dict[str, Any]:
    target = explanation.target
    plain: dict[str, Any] = {
        "pid": explanation.pid,
        "instrumented": explanation.selected,
        "reason": explanation.reason,
    }
    if target is not None:
        plain |= {
            "executable": target.process.exe,
            "unit": target.process.unit,
            "ports": sorted(target.process.listen_ports),
            "service": target.service.name,
            "namespace": target.service.namespace,
            "named_by": target.name_rule,
            "exports": sorted(target.exports),
        }
    plain["checks"] = [
        {"entry": c.entry, "criterion": c.criterion, "wanted": c.wanted, "found": c.found,
         "holds": c.holds}
        for c in explanation.checks
    ]  # fmt: skip
    plain["unreadable"] = list(explanation.unreadable)
    return plain


def _text(answer: Mapping[str, Any]) -> str:
    verb = "is" if answer["instrumented"] else "is not"
    lines = [f"process {answer['pid']} {verb} instrumented: {answer['reason']}"]
    if "service" in answer:
        ports = ", ".join(map(str, answer["ports"])) or "none"
        lines += [
            f"  executable  {answer['executable'] or '?'}",
            f"  unit        {answer['unit'] or 'none'}",
            f"  ports       {ports}",
            f"  service     {answer['service']} (named by: {answer['named_by']})",
            f"  exports     {', '.join(answer['exports'])}",
        ]
    lines += [
        f"  {'holds ' if c['holds'] else 'fails '}      {c['entry']} {c['criterion']}:"
        f" wanted {c['wanted']}, found {c['found']}"
        for c in answer["checks"]
    ]
    if answer["unreadable"]:
        names = ", ".join(answer["unreadable"])
        lines.append(f"  unreadable  {names}: run it as root, or as the agent's user")
    if "path" in answer:
        found = answer["path"]
        shown = "no route" if found["route"] is None else found["route"]
        lines.append(f"  path        {found['path']} -> {shown}: {found['reason']}")
    return "".join(one if one.isprintable() or one == "\n" else "?"
                   for one in "\n".join(lines)) + "\n"  # fmt: skip
