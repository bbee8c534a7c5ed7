# SPDX-License-Identifier: Apache-2.0
"""The syntax tree, and the words of the language. Values only; no behaviour.

Expressions keep how their source broke the lines, since the formatter keeps that too.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TypeAlias

__all__ = [
    "KEYWORDS",
    "Access",
    "Array",
    "Attribute",
    "Binary",
    "Block",
    "Body",
    "Call",
    "Comment",
    "Expression",
    "Field",
    "Index",
    "Items",
    "Literal",
    "Name",
    "Object",
    "Paren",
    "Statement",
    "Unary",
    "is_identifier",
    "is_letter",
]

KEYWORDS = frozenset({"true", "false", "null"})


def is_letter(character: str) -> bool:
    """Whether an identifier may begin with it."""
    return character == "_" or unicodedata.category(character).startswith("L")


def is_identifier(text: str) -> bool:
    """Whether the text can stand as a name: letters, underscores and digits, no keyword."""
    if not text or text in KEYWORDS or not is_letter(text[0]):
        return False
    return all(is_letter(c) or unicodedata.category(c) == "Nd" for c in text)


@dataclass(frozen=True)
class Literal:
    """A number, float, string, bool or null as it is written; strings with their quotes."""

    kind: str
    text: str


@dataclass(frozen=True)
class Name:
    """An identifier used as a value."""

    name: str


@dataclass(frozen=True)
class Access:
    """``of.name``."""

    of: Expression
    name: str


@dataclass(frozen=True)
class Index:
    """``of[index]``."""

    of: Expression
    index: Expression


@dataclass(frozen=True)
class Items:
    """What stands between brackets, which elements begin a line, and whether the closer does."""

    elements: tuple[Expression | Field, ...] = ()
    breaks: tuple[bool, ...] = ()
    closes_on_own_line: bool = False


@dataclass(frozen=True)
class Call:
    """``of(arguments)``."""

    of: Expression
    arguments: Items


@dataclass(frozen=True)
class Unary:
    """``-operand`` or ``!operand``."""

    operator: str
    operand: Expression


@dataclass(frozen=True)
class Binary:
    """``left operator right``."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Paren:
    """``(inner)``; the formatter keeps parentheses."""

    inner: Expression


@dataclass(frozen=True)
class Array:
    """``[a, b]``."""

    items: Items


@dataclass(frozen=True)
class Field:
    """``key = value`` in an object; the key is decoded."""

    key: str
    value: Expression


@dataclass(frozen=True)
class Object:
    """``{a = 1, "b c" = 2}``."""

    items: Items


Expression: TypeAlias = (
    Literal | Name | Access | Index | Call | Unary | Binary | Paren | Array | Object
)


@dataclass(frozen=True)
class Comment:
    """A comment on a line of its own; a block comment may hold several lines."""

    text: str
    line: int = 0
    blank_before: bool = False


@dataclass(frozen=True)
class Attribute:
    """``name = value``; comments inside the value are told, since no formatter could keep them."""

    name: str
    value: Expression
    line: int = 0
    blank_before: bool = False
    comment: str = ""
    inner_comments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Block:
    """``name.part "label" { body }``."""

    name: tuple[str, ...]
    label: str
    body: Body
    line: int = 0
    blank_before: bool = False
    comment: str = ""
    inner_comments: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The dotted name, and the label when there is one, as references spell it."""
        return ".".join((*self.name, self.label) if self.label else self.name)


Statement: TypeAlias = Comment | Attribute | Block


@dataclass(frozen=True)
class Body:
    """The statements of a file or of a block."""

    statements: tuple[Statement, ...] = ()
