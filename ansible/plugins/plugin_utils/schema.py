# SPDX-License-Identifier: Apache-2.0
"""The part of JSON Schema 2020-12 that the agent's own schema uses, without any dependency.

A keyword that is not known here is an error, so that nothing is silently left unchecked; a test
holds this against the reference implementation.
"""

from __future__ import annotations

import difflib
import re
from typing import Any

__all__ = ["SchemaError", "problems"]

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "null": (type(None),),
}
_ANNOTATIONS = frozenset(
    {"$schema", "$defs", "title", "description", "default", "deprecated", "writeOnly"}
)
_CHECKS = frozenset(
    {
        *("$ref", "type", "enum", "anyOf", "properties", "additionalProperties", "items"),
        *("minimum", "maximum", "exclusiveMinimum", "pattern", "required", "minItems", "const"),
        *("propertyNames", "maxItems", "minLength", "maxLength"),
    }
)


class SchemaError(ValueError):
    """The schema itself uses something that is not checked here."""


def problems(value: Any, schema: dict[str, Any]) -> list[str]:
    """What is wrong with the value, each with its path; empty if nothing is.

    Values are never shown, since any of them may be a secret.

    Raises:
        SchemaError: the schema has a keyword that is not supported.
    """
    return _Checker(schema).check(value, schema, "")


class _Checker:
    def __init__(self, root: dict[str, Any]) -> None:
        self.root = root

    def check(self, value: Any, schema: dict[str, Any], path: str) -> list[str]:
        unknown = {k for k in schema if not k.startswith("x-")} - _ANNOTATIONS - _CHECKS
        if unknown:
            raise SchemaError(f"keywords that are not supported: {', '.join(sorted(unknown))}")
        found: list[str] = []
        if "$ref" in schema:
            found += self.check(value, self.resolved(schema["$ref"]), path)
        if "type" in schema and not _is_any(value, schema["type"]):
            found.append(f"{path or 'the configuration'} is not {_words(schema['type'])}")
            return found
        if "enum" in schema and not any(_same(value, item) for item in schema["enum"]):
            words = ", ".join(str(item) for item in schema["enum"])
            found.append(f"{path} is not one of {words}")
        if "const" in schema and not _same(value, schema["const"]):
            found.append(f"{path} is not {schema['const']}")
        if "anyOf" in schema:
            found += self.any_of(value, schema["anyOf"], path)
        if isinstance(value, dict):
            found += self.mapping(value, schema, path)
        elif isinstance(value, list):
            found += self.sequence(value, schema, path)
        elif isinstance(value, str):
            found += _text(value, schema, path)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            found += _bounds(value, schema, path)
        return found

    def resolved(self, reference: str) -> dict[str, Any]:
        node: Any = self.root
        for part in reference.removeprefix("#").strip("/").split("/"):
            node = node[part]
        if not isinstance(node, dict):
            raise SchemaError(f"{reference} is no schema")
        return node

    def any_of(self, value: Any, branches: list[dict[str, Any]], path: str) -> list[str]:
        tried = [self.check(value, branch, path) for branch in branches]
        if any(not found for found in tried):
            return []
        # The branch of the value's own kind tells most: it got beyond the type.
        typed = [f for f in tried if not any(" is not a" in line and path in line for line in f)]
        if typed:
            return typed[0]
        return [f"{path}: {' or '.join(dict.fromkeys(_short(f[0], path) for f in tried))}"]

    def mapping(self, value: dict[Any, Any], schema: dict[str, Any], path: str) -> list[str]:
        found: list[str] = []
        properties: dict[str, Any] = schema.get("properties", {})
        others = schema.get("additionalProperties", True)
        missing = [key for key in schema.get("required", []) if key not in value]
        found += [f"{path or 'the configuration'} has no {key}" for key in missing]
        for key, inside in value.items():
            place = f"{path}.{key}" if path else str(key)
            if not isinstance(key, str):
                found.append(f"{place} is not a text as key")
                continue
            if "propertyNames" in schema:
                found += self.check(key, schema["propertyNames"], f"the key {place}")
            if key in properties:
                found += self.check(inside, properties[key], place)
            elif others is False:
                found.append(_unknown(key, place, properties))
            elif isinstance(others, dict):
                found += self.check(inside, others, place)
        return found

    def sequence(self, value: list[Any], schema: dict[str, Any], path: str) -> list[str]:
        found: list[str] = []
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            found.append(f"{path} has {len(value)} items, which is too few or too many")
        if "items" in schema:
            for at, item in enumerate(value):
                found += self.check(item, schema["items"], f"{path}[{at}]")
        return found


def _is_any(value: Any, types: str | list[str]) -> bool:
    return any(_is(value, name) for name in ([types] if isinstance(types, str) else types))


def _is(value: Any, name: str) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if name == "number":
        return number
    if name == "integer":
        return number and float(value).is_integer()
    if name not in _TYPES:
        raise SchemaError(f"unknown type {name!r}")
    return isinstance(value, _TYPES[name])


def _same(value: Any, other: Any) -> bool:
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


def _text(value: str, schema: dict[str, Any], path: str) -> list[str]:
    found: list[str] = []
    if "pattern" in schema and not re.search(schema["pattern"], value):
        found.append(f"{path} does not have the form {schema['pattern']}")
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        found.append(f"{path} is too short or too long")
    return found


def _bounds(value: float, schema: dict[str, Any], path: str) -> list[str]:
    low, high = schema.get("minimum"), schema.get("maximum")
    above = schema.get("exclusiveMinimum")
    if low is not None and value < low:
        return [f"{path} is less than {low}"]
    if above is not None and value <= above:
        return [f"{path} is not more than {above}"]
    if high is not None and value > high:
        return [f"{path} is more than {high}"]
    return []


def _words(types: str | list[str]) -> str:
    names = [types] if isinstance(types, str) else [name for name in types if name != "null"]
    article = "an" if names and names[0][0] in "aeio" else "a"
    return f"{article} {' or '.join(names)}"


def _short(line: str, path: str) -> str:
    return line.removeprefix(path).strip()


def _unknown(key: str, path: str, properties: dict[str, Any]) -> str:
    near = difflib.get_close_matches(key, properties, 1)
    return f"{path} is unknown" + (f"; do you mean {near[0]}?" if near else "")
