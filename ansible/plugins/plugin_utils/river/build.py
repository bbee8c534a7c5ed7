# SPDX-License-Identifier: Apache-2.0
"""Plain data, as it comes from YAML, to the syntax tree. The only way in for values.

A string is always a string of River. What is not data is marked by a mapping with exactly one key
that begins with ``$``:

====================  ===================================================================
``{$env: NAME}``      an environment variable of the collector
``{$ref: a.b.c}``     what a component exports
``{$concat: [...]}``  strings and marked values joined by ``+``
``{$call: [f, ...]}`` a function of the standard library with its arguments
``{$expr: text}``     exactly one expression, which is parsed before it is written
``{$object: {...}}``  a mapping taken as it is, though its key begins with ``$``
``{$block: {...}}``   a block with this body; a list of bodies gives the block several times
====================  ===================================================================

The key of a block is its name, or its name, a space and its label.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .dialect import DIALECTS, named, translate
from .errors import DataError, RiverError
from .formatter import format_expression, quote
from .parser import MAX_DEPTH, parse_expression
from .syntax import (
    KEYWORDS,
    Array,
    Attribute,
    Binary,
    Block,
    Body,
    Call,
    Expression,
    Field,
    Items,
    Literal,
    Object,
    Paren,
    Unary,
    is_identifier,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .syntax import Statement

__all__ = ["MARKS", "build", "marked"]

MARKS = frozenset({"$env", "$ref", "$concat", "$call", "$expr", "$object", "$block"})
#: Longer lists and objects are written with one element on each line.
_LINE_LENGTH = 72


def marked(value: Any) -> str:
    """The mark of a mapping such as ``{"$env": ...}``; empty for plain data."""
    if isinstance(value, dict) and len(value) == 1:
        (key,) = value
        if isinstance(key, str) and key.startswith("$"):
            return key
    return ""


def build(data: Any, dialect: str = "alloy") -> Body:
    """The syntax tree of a file.

    Args:
        data: a mapping of names to values and blocks, or a list of such mappings. At the top of a
            file a plain mapping is a block, since nothing else may stand there.
        dialect: ``agent`` or ``alloy``, for the names of functions.

    Raises:
        DataError: something has no form in River, with the path to it.
    """
    if dialect not in DIALECTS:
        raise DataError(f"unknown dialect {dialect!r}: agent or alloy", "")
    return _Builder(dialect).body(data, "", at_top=True)


class _Builder:
    def __init__(self, dialect: str) -> None:
        self.dialect = dialect
        self.depth = 0

    def body(self, data: Any, path: str, *, at_top: bool = False) -> Body:
        self.deeper(path)
        parts = data if isinstance(data, (list, tuple)) else [data]
        found: list[Statement] = []
        seen: set[str] = set()
        for part in parts:
            if part is None:
                continue
            if not isinstance(part, dict):
                raise DataError(f"a body is a mapping, not {_kind(part)}", path)
            for key, value in part.items():
                place = f"{path}.{key}" if path else str(key)
                self.statement(key, value, place, at_top=at_top, found=found, seen=seen)
        self.depth -= 1
        return Body(tuple(found))

    def statement(
        self,
        key: Any,
        value: Any,
        path: str,
        *,
        at_top: bool,
        found: list[Statement],
        seen: set[str],
    ) -> None:
        if at_top and isinstance(value, dict) and not marked(value):
            value = {"$block": value}
        if marked(value) == "$block":
            inside = value["$block"]
            for body in inside if isinstance(inside, (list, tuple)) else [inside]:
                name, label = _head(key, path)
                found.append(Block(name, label, self.body(body, path)))
            return
        if not isinstance(key, str) or not is_identifier(key):
            raise DataError(f"{key!r} is not a name of an attribute", path)
        if key in seen:
            raise DataError("this attribute is given twice", path)
        seen.add(key)
        found.append(Attribute(key, self.value(value, path)))

    def deeper(self, path: str) -> None:
        self.depth += 1
        if self.depth >= MAX_DEPTH:
            raise DataError(f"nested deeper than {MAX_DEPTH}", path[:80] + "...")

    def value(self, data: Any, path: str) -> Expression:
        self.deeper(path)
        found = self.plain(data, path)
        self.depth -= 1
        return found

    def plain(self, data: Any, path: str) -> Expression:
        if mark := marked(data):
            return self.mark(mark, data[mark], path)
        if data is None:
            return Literal("null", "null")
        if isinstance(data, bool):
            return Literal("bool", "true" if data else "false")
        if isinstance(data, int):
            return _integer(data, path)
        if isinstance(data, float):
            return _float(data, path)
        if isinstance(data, str):
            return _string(data, path)
        if isinstance(data, (list, tuple)):
            elements = [self.value(item, f"{path}[{at}]") for at, item in enumerate(data)]
            return Array(_laid_out(elements))
        if isinstance(data, dict):
            return self.object(data, path)
        raise DataError(f"{_kind(data)} has no form in River", path)

    def object(self, data: Mapping[Any, Any], path: str) -> Object:
        fields: list[Expression | Field] = []
        for key, value in data.items():
            if not isinstance(key, str):
                raise DataError(f"the key {key!r} is not a string", path)
            _encodable(key, path)
            fields.append(Field(key, self.value(value, f"{path}.{key}")))
        return Object(_laid_out(fields))

    def mark(self, mark: str, data: Any, path: str) -> Expression:
        known = {
            "$env": self.env,
            "$ref": self.ref,
            "$concat": self.concat,
            "$call": self.call,
            "$expr": self.expr,
            "$object": self.verbatim,
        }
        if mark == "$block":
            raise DataError("a block stands in a body, not in a value", path)
        if mark not in known:
            words = ", ".join(sorted(MARKS))
            raise DataError(f"unknown mark {mark!r} (known: {words})", path)
        return known[mark](data, path)

    def env(self, data: Any, path: str) -> Expression:
        if not isinstance(data, str) or not data.isascii() or not is_identifier(data):
            raise DataError(f"{data!r} is not a name of an environment variable", path)
        return self.translated(Call(named("sys.env"), _laid_out([_string(data, path)])), path)

    def ref(self, data: Any, path: str) -> Expression:
        if not isinstance(data, str) or not all(is_identifier(p) for p in data.split(".")):
            raise DataError(f"{data!r} is not a dotted name of a component's export", path)
        return named(data)

    def concat(self, data: Any, path: str) -> Expression:
        if not isinstance(data, (list, tuple)) or not data:
            raise DataError("$concat takes a list of strings and marked values", path)
        parts: list[Expression] = []
        for at, item in enumerate(data):
            self.deeper(path)  # the tree leans to the left, one level for each part
            part = self.value(item, f"{path}[{at}]")
            parts.append(Paren(part) if isinstance(part, Binary) else part)
        self.depth -= len(data)
        found = parts[0]
        for part in parts[1:]:
            found = Binary("+", found, part)
        return found

    def call(self, data: Any, path: str) -> Expression:
        if not isinstance(data, (list, tuple)) or not data or not isinstance(data[0], str):
            raise DataError("$call takes a list: the function's name and its arguments", path)
        if not all(is_identifier(part) for part in data[0].split(".")):
            raise DataError(f"{data[0]!r} is not a function's name", path)
        arguments = [self.value(item, f"{path}[{at}]") for at, item in enumerate(data[1:], 1)]
        return self.translated(Call(named(data[0]), _laid_out(arguments)), path)

    def expr(self, data: Any, path: str) -> Expression:
        if not isinstance(data, str):
            raise DataError(f"$expr takes text, not {_kind(data)}", path)
        try:
            return self.translated(parse_expression(data), path)
        except RiverError as error:
            raise DataError(str(error), path) from error

    def verbatim(self, data: Any, path: str) -> Expression:
        if not isinstance(data, dict):
            raise DataError(f"$object takes a mapping, not {_kind(data)}", path)
        return self.object(data, path)

    def translated(self, node: Expression, path: str) -> Expression:
        try:
            return translate(node, self.dialect)
        except RiverError as error:
            raise DataError(str(error), path) from error


def _head(key: Any, path: str) -> tuple[tuple[str, ...], str]:
    if not isinstance(key, str):
        raise DataError(f"{key!r} is not a block's name", path)
    name, label = key.partition(" ")[::2]
    parts = tuple(name.split("."))
    if not all(is_identifier(part) for part in parts):
        raise DataError(f"{name!r} is not a block's name", path)
    if label and not is_identifier(label):
        raise DataError(
            f"{label!r} is not a label: letters, digits and underscores are, and no keyword"
            if label not in KEYWORDS
            else f"the keyword {label!r} cannot be a label",
            path,
        )
    return parts, label


def _integer(number: int, path: str) -> Expression:
    if not -(2**63) < number < 2**64:
        raise DataError(f"{number} does not fit into 64 bits", path)
    if number < 0:
        return Unary("-", Literal("number", str(-number)))
    return Literal("number", str(number))


def _float(number: float, path: str) -> Expression:
    if not math.isfinite(number):
        raise DataError(f"{number} is not a number that River can hold", path)
    literal = Literal("float", repr(abs(number)))
    return Unary("-", literal) if math.copysign(1.0, number) < 0 else literal


def _string(text: str, path: str) -> Literal:
    _encodable(text, path)
    # Ansible marks strings by subclasses of str, which must not go on.
    return Literal("string", quote(str(text)))


def _encodable(text: str, path: str) -> None:
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise DataError("the text holds half a surrogate pair and is not Unicode", path)


def _laid_out(elements: list[Any]) -> Items:
    """On one line if that is short, else with one element on each."""
    flat = Items(tuple(elements), (False,) * len(elements))
    text = format_expression(Array(flat))
    if len(text) <= _LINE_LENGTH and "\n" not in text:
        return flat
    return Items(tuple(elements), (True,) * len(elements), closes_on_own_line=True)


def _kind(value: Any) -> str:
    return f"a value of the type {type(value).__name__}"
