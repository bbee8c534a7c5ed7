"""The name of a service, and which rule gave it.

Only the order of the rules lives here, and the rule of systemd units. The order: the selector's
name; OTEL_SERVICE_NAME; service.name of OTEL_RESOURCE_ATTRIBUTES; the systemd unit; the script,
module or archive behind a runtime; the executable.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from otelauto.discovery._jvm import system_property
from otelauto.discovery.commands import script_name
from otelauto.discovery.identity import bounded
from otelauto.discovery.resource_attributes import parse_resource_attributes
from otelauto.discovery.runtimes import program, runtime_name, runtime_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otelauto.model import Process

__all__ = ["Named", "name_process", "unit_name"]

#: Units that start programs of many kinds, or of which the name says nothing.
_GENERIC_UNITS = re.compile(
    r"""
    (?: session-.* | init | run-.* | app-.* | .*-spawn-.* | user@.* | machine-.*
      | (?:docker|libpod|crio|cri-containerd|nerdctl|buildkit|conmon|containerd)-.*
      | docker | containerd | podman | crio | conmon | k3s | k3s-agent | kubelet | nomad
      | systemd-nspawn@.* | lxc | lxc@.* | lxcfs | libvirtd | snapd
      | cron | crond | cronie | atd | anacron | fcron
      | ssh | sshd | ssh@.* | sshd@.* | sshd-session.* | dropbear
      | getty@.* | serial-getty@.* | console-getty | rc-local | rescue | emergency
      | supervisor | supervisord | circusd | monit | runit | runsvdir.* | s6.* | pm2.*
      | cloud-final | cloud-init.* | google-startup-scripts | amazon-ssm-agent | qemu-guest-agent
      | screen | tmux.* | code-server.* | xinetd | inetd
    )
    """,
    re.VERBOSE,
)
_UNIT_SUFFIX = re.compile(r"\.(?:service|scope)$")
_TEMPLATE = re.compile(r"(?P<template>[^@]+)@(?P<instance>.*)")


@dataclass(frozen=True, slots=True)
class Named:
    """A name and where it comes from.

    Attributes:
        name: service.name.
        rule: "selector", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "systemd unit",
            "script" or "executable".
        part: which instance of a service on one host it is; empty if there is only one.
        attributes: what the process says of itself, and process.runtime.name where known.
        skipped: entries of OTEL_RESOURCE_ATTRIBUTES that are not valid.
    """

    name: str
    rule: str
    part: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    skipped: int = 0


def name_process(process: Process, *, configured: str = "", comm: str = "") -> Named:
    """Names a process.

    Args:
        process: what is known of it.
        configured: the name that the configuration gives; empty if none.
        comm: the main thread's name, for a process that hides everything else.
    """
    said = parse_resource_attributes(process.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    attributes = dict(said.values)
    runtime = runtime_name(process)
    if runtime:
        attributes.setdefault("process.runtime.name", runtime)
    unit, part = unit_name(process.unit)
    rules = (
        ("selector", configured),
        ("OTEL_SERVICE_NAME", _spelled_out(_service_name(process))),
        ("OTEL_RESOURCE_ATTRIBUTES", _spelled_out(said.values.get("service.name", ""))),
        ("systemd unit", unit),
        ("script", script_name(process)),
        ("executable", program(process) or comm),
    )
    for rule, text in rules:
        if name := bounded(text):
            return Named(name, rule, part, attributes, said.skipped)
    return Named("unknown", "executable", part, attributes, said.skipped)


def unit_name(unit: str) -> tuple[str, str]:
    """The service's name in a unit's name, and the part of it that tells replicas apart.

    "nginx.service" is ("nginx", ""). An instance of a template that is a number is a replica or a
    port of one service: "web@8001.service" is ("web", "8001"); any other instance is a service of
    its own: "postgresql@15-main.service" is ("postgresql@15-main", ""). Units that say nothing
    of their program (sessions, cron, container runtimes) give ("", "").
    """
    name = _UNIT_SUFFIX.sub("", unit)
    if not name or _GENERIC_UNITS.fullmatch(name):
        return "", ""
    template = _TEMPLATE.fullmatch(name)
    if template and template["instance"].isascii() and template["instance"].isdigit():
        return template["template"], template["instance"]
    return name.rstrip("@"), ""


def _service_name(process: Process) -> str:
    """OTEL_SERVICE_NAME, or the Java agent's spelling of it."""
    name = process.environ.get("OTEL_SERVICE_NAME", "")
    if not name and runtime_of(process) == "java":
        name = system_property(process.cmdline, "otel.service.name")
    return name


def _spelled_out(name: str) -> str:
    """The name, unless it is a variable that nobody replaced ("$NAME")."""
    return "" if name.startswith("$") else name
