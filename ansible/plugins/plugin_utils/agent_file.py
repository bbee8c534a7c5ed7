# SPDX-License-Identifier: Apache-2.0
"""The files that the agent and its unit read, and what must not stand in them.

YAML is written with every text in quotes, so that nothing is read as another type.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

__all__ = [
    "AgentFileError",
    "agent_yaml",
    "clear_secrets",
    "local_endpoints",
    "selects",
    "unit_settings",
    "yaml_or_empty",
]

_SETTING = re.compile(r"[A-Z][A-Za-z0-9]+\Z")
_LOCAL = re.compile(
    r"https?://(?:localhost|127(?:\.[0-9]+){3}|\[::1\])(?::([0-9]+))?(?:[/?#]|\Z)", re.IGNORECASE
)
_SELECTORS = (
    "open_port",
    "open_ports",
    "executable_name",
    "executable_regexp",
    "exe_path",
    "system_wide",
)
_SELECTING_VARIABLE = re.compile("OPEN_PORT|EXECUTABLE|EXE_PATH|SYSTEM_WIDE|AUTO_TARGET")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z")
_VARIABLE = re.compile(r"\$\{[^}]+\}")
#: Headers whose values are secrets.
_SECRET_HEADER = re.compile(r"auth|token|key|secret|cookie|password", re.IGNORECASE)


class AgentFileError(ValueError):
    """A value that a file cannot carry; the message names it."""


class _Quoting(yaml.SafeDumper):
    """Texts are quoted, so that "80,443", "on" and "1e3" stay texts; keys are not if they can."""

    def ignore_aliases(self, data: Any) -> bool:
        """Nothing is written as a reference to something else."""
        del data
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Every text in double quotes."""
        if any("\ud800" <= character <= "\udfff" for character in data):
            raise AgentFileError("a text holds half a surrogate pair and is not Unicode")
        return self.represent_scalar("tag:yaml.org,2002:str", data, style='"')

    def represent_mapping(self, tag: str, mapping: Any, flow_style: Any = None) -> Any:
        """Keys without quotes where they read back as the same text."""
        node = super().represent_mapping(tag, mapping, flow_style)
        for key, _value in node.value:
            is_word = _WORD.match(key.value)
            if is_word and self.resolve(yaml.ScalarNode, key.value, (True, False)) == key.tag:
                key.style = None
        return node


_Quoting.add_representer(str, _Quoting.represent_str)


def agent_yaml(config: dict[str, Any], note: str = "") -> str:
    """The agent's configuration as YAML, keys in the given order, after a note as comment.

    Raises:
        AgentFileError: a text holds half a surrogate pair, which no file can hold.
    """
    lines = "".join(f"# {line}\n" for line in note.splitlines())
    written = yaml.dump(
        config, Dumper=_Quoting, sort_keys=False, allow_unicode=True, width=float("inf")
    )
    return f"---\n{lines}{written}"


def yaml_or_empty(text: str) -> dict[str, Any]:
    """The mapping in a YAML text; empty for anything that is none."""
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def clear_secrets(config: Any, schema: dict[str, Any]) -> list[str]:
    """Where the configuration holds a secret itself instead of naming a variable, by path.

    Secrets are what the schema says is only written (``writeOnly``); a header counts if its name
    tells so.
    """
    found: list[str] = []
    _look(config, schema, schema, "", found)
    return found


def _look(
    value: Any, node: dict[str, Any], root: dict[str, Any], path: str, found: list[str]
) -> None:
    if "$ref" in node:
        target: Any = root
        for part in str(node["$ref"]).removeprefix("#/").split("/"):
            target = target[part]
        _look(value, target, root, path, found)
    elif node.get("writeOnly"):
        found += [place for place, text in _texts(value, path) if not _VARIABLE.search(text)]
    elif isinstance(value, dict):
        for key, inside in value.items():
            known = node.get("properties", {}).get(key)
            if known is not None:
                _look(inside, known, root, f"{path}.{key}" if path else str(key), found)
    elif isinstance(value, list) and "items" in node:
        for at, item in enumerate(value):
            _look(item, node["items"], root, f"{path}[{at}]", found)


def _texts(value: Any, path: str) -> list[tuple[str, str]]:
    """The texts that are secrets: the value itself, or those of headers with a telling name."""
    if isinstance(value, dict):
        return [
            (f"{path}.{name}", str(text))
            for name, text in value.items()
            if text and _SECRET_HEADER.search(str(name))
        ]
    return [(path, str(value))] if value else []


def local_endpoints(config: dict[str, Any]) -> list[dict[str, str]]:
    """Where the agent sends to on its own host: the signal, the URL and its port."""
    found: list[dict[str, str]] = []
    for signal in ("metrics", "traces"):
        section = config.get(f"otel_{signal}_export") or {}
        endpoint = section.get("exact_endpoint") or section.get("endpoint") or ""
        if isinstance(endpoint, str) and (match := _LOCAL.match(endpoint)):
            default = "443" if endpoint.startswith("https") else "80"
            port = match.group(1) or default
            found.append({"signal": signal, "endpoint": endpoint, "port": port})
    return found


def selects(config: dict[str, Any], environment: dict[str, Any]) -> bool:
    """Whether anything says what is instrumented; the agent starts with nothing otherwise."""
    ebpf = config.get("ebpf") or {}
    discovery = config.get("discovery") or {}
    given = [ebpf.get(key) for key in _SELECTORS] + [config.get(key) for key in _SELECTORS]
    given += [discovery.get(key) for key in ("instrument", "services")]
    return any(given) or any(_SELECTING_VARIABLE.search(str(name)) for name in environment)


def unit_settings(settings: dict[str, Any]) -> str:
    """Lines of a unit's section, one for each setting; a list gives one for each item.

    Raises:
        AgentFileError: a name that no setting has, or a value with a line break.
    """
    lines: list[str] = []
    for name, value in settings.items():
        if not isinstance(name, str) or not _SETTING.match(name):
            raise AgentFileError(f"{name!r} is not a setting of a systemd unit")
        for item in value if isinstance(value, list) else [value]:
            text = ("yes" if item else "no") if isinstance(item, bool) else str(item)
            if isinstance(item, (dict, list)) or re.search(r"[\x00-\x08\x0a-\x1f\x7f]|\\\Z", text):
                raise AgentFileError(f"the unit's setting {name} does not fit on one line")
            lines.append(f"{name}={text}")
    return "\n".join(lines)
