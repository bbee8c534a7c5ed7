# SPDX-License-Identifier: Apache-2.0
"""What the two collectors call the functions of the standard library.

One table, from Alloy's names (since 1.4) to those of Grafana Agent Flow, and renaming by it.
"""

from __future__ import annotations

from dataclasses import replace

from .errors import MeaningError
from .syntax import (
    Access,
    Array,
    Binary,
    Call,
    Expression,
    Field,
    Index,
    Items,
    Literal,
    Name,
    Object,
    Paren,
    Unary,
)

__all__ = ["CONSTANTS", "DIALECTS", "FUNCTIONS", "dotted", "named", "translate"]

DIALECTS = ("agent", "alloy")

#: Alloy's name of each function, and the Agent's, which is None where it has none.
FUNCTIONS: dict[str, str | None] = {
    "sys.env": "env",
    "convert.nonsensitive": "nonsensitive",
    "coalesce": "coalesce",
    "json_path": "json_path",
    "array.concat": "concat",
    "array.combine_maps": None,
    "array.group_by": None,
    "encoding.from_json": "json_decode",
    "encoding.from_yaml": "yaml_decode",
    "encoding.from_base64": "base64_decode",
    "encoding.from_URLbase64": None,
    "encoding.to_json": None,
    "encoding.to_base64": None,
    "encoding.to_URLbase64": None,
    "encoding.url_encode": None,
    "encoding.url_decode": None,
    "string.format": "format",
    "string.join": "join",
    "string.replace": "replace",
    "string.split": "split",
    "string.to_lower": "to_lower",
    "string.to_upper": "to_upper",
    "string.trim": "trim",
    "string.trim_prefix": "trim_prefix",
    "string.trim_suffix": "trim_suffix",
    "string.trim_space": "trim_space",
    "file.path_join": None,
}
CONSTANTS = frozenset({f"constants.{name}" for name in ("hostname", "os", "arch", "version")})
_FROM_AGENT = {agent: alloy for alloy, agent in FUNCTIONS.items() if agent}


def dotted(node: Expression) -> str:
    """The name that a chain of accesses spells, such as ``sys.env``; empty for anything else."""
    if isinstance(node, Name):
        return node.name
    if isinstance(node, Access) and (head := dotted(node.of)):
        return f"{head}.{node.name}"
    return ""


def named(name: str) -> Expression:
    """The chain of accesses that spells a dotted name."""
    first, *rest = name.split(".")
    found: Expression = Name(first)
    for part in rest:
        found = Access(found, part)
    return found


def translate(node: Expression, dialect: str) -> Expression:
    """The value with the standard library's functions under the dialect's names.

    Either dialect's names are understood.

    Raises:
        MeaningError: the dialect has no such function.
    """
    if isinstance(node, (Literal, Name)):
        return node
    if isinstance(node, Access):
        return replace(node, of=translate(node.of, dialect))
    if isinstance(node, Index):
        return Index(translate(node.of, dialect), translate(node.index, dialect))
    if isinstance(node, Unary):
        return replace(node, operand=translate(node.operand, dialect))
    if isinstance(node, Binary):
        return Binary(node.operator, translate(node.left, dialect), translate(node.right, dialect))
    if isinstance(node, Paren):
        return Paren(translate(node.inner, dialect))
    if isinstance(node, (Array, Object)):
        return replace(node, items=_items(node.items, dialect))
    return Call(_function(node, dialect), _items(node.arguments, dialect))


def _function(call: Call, dialect: str) -> Expression:
    name = dotted(call.of)
    canonical = name if name in FUNCTIONS else _FROM_AGENT.get(name)
    if canonical is None:
        raise MeaningError(f"there is no function {name or 'without a name'!r}", 0)
    spelled = canonical if dialect == "alloy" else FUNCTIONS[canonical]
    if spelled is None:
        raise MeaningError(f"Grafana Agent has no function {canonical!r}; Alloy has", 0)
    return named(spelled)


def _items(items: Items, dialect: str) -> Items:
    elements: list[Expression | Field] = []
    for element in items.elements:
        if isinstance(element, Field):
            elements.append(Field(element.key, translate(element.value, dialect)))
        else:
            elements.append(translate(element, dialect))
    return replace(items, elements=tuple(elements))
