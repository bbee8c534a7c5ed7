# SPDX-License-Identifier: Apache-2.0
"""The syntax tree back to plain data, in the form that ``build`` takes. The inverse of it."""

from __future__ import annotations

from typing import Any

from .dialect import FUNCTIONS, dotted
from .errors import MeaningError
from .formatter import format_expression
from .scanner import decode_string
from .syntax import (
    Array,
    Attribute,
    Binary,
    Block,
    Body,
    Call,
    Comment,
    Expression,
    Field,
    Literal,
    Object,
    Paren,
    Unary,
)

__all__ = ["read"]

_ENV = frozenset({"sys.env", FUNCTIONS["sys.env"]})


def read(body: Body) -> list[dict[str, Any]]:
    """One mapping for each statement of the body, in order, every block marked as such.

    Raises:
        MeaningError: an object has a key twice, which data cannot say.
    """
    found: list[dict[str, Any]] = []
    for statement in body.statements:
        if isinstance(statement, Comment):
            continue
        if isinstance(statement, Block):
            name = ".".join(statement.name)
            key = f"{name} {statement.label}" if statement.label else name
            found.append({key: {"$block": read(statement.body)}})
        else:
            found.append({statement.name: _attribute(statement)})
    return found


def _attribute(statement: Attribute) -> Any:
    try:
        return _value(statement.value)
    except MeaningError as error:
        raise MeaningError(error.reason, statement.line) from None


def _value(node: Expression) -> Any:
    if isinstance(node, Literal):
        return _literal(node)
    if isinstance(node, Array):
        return [_value(item) for item in node.items.elements if not isinstance(item, Field)]
    if isinstance(node, Object):
        return _object(node)
    if isinstance(node, Unary) and node.operator == "-" and isinstance(node.operand, Literal):
        number = _literal(node.operand)
        if isinstance(number, (int, float)) and not isinstance(number, bool):
            return -number
    if isinstance(node, Call) and dotted(node.of) in _ENV and len(node.arguments.elements) == 1:
        variable = node.arguments.elements[0]
        if isinstance(variable, Literal) and variable.kind == "string":
            return {"$env": decode_string(variable.text)}
    if isinstance(node, Binary) and node.operator == "+" and (parts := _joined(node)):
        return {"$concat": parts}
    if name := dotted(node):
        return {"$ref": name}
    return {"$expr": format_expression(node)}


def _joined(node: Binary) -> list[Any]:
    """The parts of a sum of strings and variables; empty if it is any other sum."""
    found: list[Any] = []
    left: Expression = node
    while isinstance(left, Binary) and left.operator == "+":
        found.append(left.right)
        left = left.left
    parts = [_value(part) for part in (left, *reversed(found)) if not isinstance(part, Paren)]
    if len(parts) != len(found) + 1:
        return []
    simple = all(isinstance(part, str) or (isinstance(part, dict) and part) for part in parts)
    return parts if simple and any(isinstance(part, str) for part in parts) else []


def _literal(node: Literal) -> Any:
    if node.kind == "string":
        return decode_string(node.text)
    if node.kind == "number":
        return _number(node.text)
    if node.kind == "float":
        return float(node.text)
    return {"true": True, "false": False, "null": None}[node.text]


def _number(text: str) -> int | float:
    """A leading zero means octal where that is possible, and beyond 64 bits it is a float."""
    if len(text) > 1 and text.startswith("0"):
        try:
            number = int(text, 8)
        except ValueError:
            return float(text)
    else:
        number = int(text) if len(text) < 40 else 2**64
    return number if number < 2**64 else float(text)


def _object(node: Object) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in node.items.elements:
        if isinstance(field, Field):
            if field.key in found:
                raise MeaningError(f"the object has the key {field.key!r} twice", 0)
            found[field.key] = _value(field.value)
    if len(found) == 1 and next(iter(found)).startswith("$"):
        return {"$object": found}
    return found
