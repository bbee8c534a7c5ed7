"""The configuration's schema for machines: editors and the deployment's argument checks.

Pure functions from the declarations to plain data.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from otelauto.config.paths import Leaf, moved, variables
from otelauto.config.schema import Config
from otelauto.options import Group, Option, members

if TYPE_CHECKING:
    from otelauto.options import Member, Plain

__all__ = ["argument_options", "json_schema", "json_schema_text"]

_TYPES = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "array": "list",
    "object": "dict",
}


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the file, former spellings and places included as deprecated."""
    schema = _object(Config, "")
    for old, new in moved().items():
        *parents, last = old.split(".")
        node = schema
        for name in parents:
            node = node["properties"][name]
        node["properties"].setdefault(last, _former(new))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of otelauto",
        **schema,
        "$defs": {
            "substitution": {
                "type": "string",
                "pattern": r"\$\{",
                "description": "A value that holds a variable, such as ${NAME} or ${NAME:-text}.",
            }
        },
    }


def json_schema_text() -> str:
    """The schema as the file that is shipped."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _former(path: str) -> dict[str, Any]:
    """A former spelling or place of the option or section at the path."""
    pointer = "/".join(
        f"properties/{name.removesuffix('[]')}" + ("/items" if name.endswith("[]") else "")
        for name in path.split(".")
    )
    return {"$ref": f"#/{pointer}", "deprecated": True, "description": f"Read as {path}."}


def _object(cls: type[Any], path: str) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for member in members(cls):
        properties[member.key] = _member(member, path + member.key)
        for alias in member.spec.aliases:
            properties[alias] = _former(path + member.key)
    return {"type": ["object", "null"], "additionalProperties": False, "properties": properties}


def _member(member: Member, path: str) -> dict[str, Any]:
    spec = member.spec
    if isinstance(spec, Option):
        return _option(Leaf(path, member, spec))
    if spec.many:
        items = _object(spec.cls, path + "[].")
        return {"description": spec.help, "type": ["array", "null"], "items": items}
    return {"description": spec.help, **_object(spec.cls, path + ".")}


def _option(leaf: Leaf) -> dict[str, Any]:
    option = leaf.option
    found: dict[str, Any] = {
        "description": option.help,
        "anyOf": [
            dict(option.kind.schema),
            {"type": "null"},
            {"$ref": "#/$defs/substitution"},
        ],
        "default": option.kind.plain(leaf.member.default),
        "x-reload": option.reload,
    }
    if names := [variable.name for variable in variables(leaf)]:
        found["x-env-var"] = names
    if option.secret:
        found["writeOnly"] = True
    if option.inert:
        found["x-no-effect"] = option.inert
    return found


def argument_options(cls: type[Any] = Config) -> dict[str, Any]:
    """The options as the ``options`` of an Ansible argument specification, nested as the file is.

    Defaults are left out, since the agent itself applies them.
    """
    return {member.key: _argument(member.spec) for member in members(cls)}


def _argument(spec: Option | Group) -> dict[str, Plain]:
    found: dict[str, Plain] = {"description": spec.help}
    if isinstance(spec, Group):
        kind: dict[str, Plain] = {"type": "list", "elements": "dict"} if spec.many else {
            "type": "dict"
        }  # fmt: skip
        return {**found, **kind, "options": argument_options(spec.cls)}
    words = spec.kind.schema.get("enum")
    if isinstance(words, list):
        return {**found, "type": "str", "choices": list(words)}
    name = spec.kind.schema.get("type")
    found["type"] = _TYPES.get(name, "raw") if isinstance(name, str) else "raw"
    if spec.secret:
        found["no_log"] = True
    return found
