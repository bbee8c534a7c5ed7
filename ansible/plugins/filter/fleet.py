# SPDX-License-Identifier: Apache-2.0
"""The collection's filters. What each does stands beside it, in the file of its name.

Only the translation between Ansible's values and errors and those of ``plugin_utils`` lives here.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleFilterError
from ansible_collections.otelauto.fleet.plugins.plugin_utils import (
    agent_file,
    environment,
    flags,
    kernel_packages,
    layers,
    openpgp,
    pipeline,
    reload,
    schema,
)
from ansible_collections.otelauto.fleet.plugins.plugin_utils.river.build import build
from ansible_collections.otelauto.fleet.plugins.plugin_utils.river.check import check, variables
from ansible_collections.otelauto.fleet.plugins.plugin_utils.river.formatter import format_body
from ansible_collections.otelauto.fleet.plugins.plugin_utils.river.parser import parse
from ansible_collections.otelauto.fleet.plugins.plugin_utils.river.read import read

if TYPE_CHECKING:
    from collections.abc import Callable


def plain(value: Any) -> Any:
    """The value without what Ansible adds to it; a vaulted text is decrypted."""
    if isinstance(value, Mapping):
        return {plain(key): plain(inside) for key, inside in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, str) or getattr(value, "__ENCRYPTED__", False):
        return str(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) if isinstance(value, float) else int(value)
    return value


def told(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function on plain values, whose refusals are errors of the filter."""

    @functools.wraps(function)
    def wrapped(*values: Any, **named: Any) -> Any:
        try:
            return function(*plain(values), **plain(named))
        except ValueError as error:
            # Without the cause: a traceback could show what the message hides.
            raise AnsibleFilterError(f"otelauto.fleet.{name}: {error}") from None

    return wrapped


def to_river(data: Any, dialect: str = "alloy", note: str = "") -> str:
    """Data as the text of a collector's file, proved to be what a collector would load."""
    text = format_body(build(data, dialect))
    check(parse(text), dialect)
    lines = "".join(f"// {line}\n" for line in note.splitlines())
    return f"{lines}\n{text}" if lines else text


def from_river(text: str) -> list[dict[str, Any]]:
    """The text of a collector's file as data."""
    return read(parse(text))


def river_format(text: str, dialect: str = "") -> str:
    """A collector's file in its one form; with a dialect its references are checked too."""
    tree = parse(text)
    if dialect:
        check(tree, dialect)
    return format_body(tree)


def environment_names(text: str) -> list[str]:
    """The environment variables that a collector's file names, sorted."""
    tree = parse(text)
    return sorted(variables(tree))


class FilterModule:
    """What Ansible's loader looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by name."""
        functions: dict[str, Callable[..., Any]] = {
            "to_river": to_river,
            "from_river": from_river,
            "river_format": river_format,
            "pipeline_blocks": pipeline.pipeline_blocks,
            "environment_file": environment.environment_text,
            "merge_layers": layers.merge_layers,
            "schema_problems": schema.problems,
            "command_line_flags": flags.render_flags,
            "listen_address": flags.listen_address,
            "kernel_packages": kernel_packages.kernel_packages,
            "key_fingerprints": openpgp.fingerprints,
            "environment_names": environment_names,
            "agent_yaml": agent_file.agent_yaml,
            "clear_secrets": agent_file.clear_secrets,
            "local_endpoints": agent_file.local_endpoints,
            "selects_something": agent_file.selects,
            "unit_settings": agent_file.unit_settings,
            "yaml_or_empty": agent_file.yaml_or_empty,
            "restart_keys": reload.restart_keys,
        }
        return {name: told(name, function) for name, function in functions.items()}
