# SPDX-License-Identifier: Apache-2.0
"""The syntax tree to text in the one form that the collectors' ``fmt`` commands give."""

from __future__ import annotations

import unicodedata

from .errors import MeaningError
from .syntax import (
    Access,
    Array,
    Attribute,
    Binary,
    Block,
    Body,
    Call,
    Comment,
    Expression,
    Field,
    Index,
    Items,
    Literal,
    Name,
    Paren,
    Unary,
    is_identifier,
)

__all__ = ["format_body", "format_expression", "quote"]

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}
#: Control and format characters and separators: invisible, or read differently by editors.
_HIDDEN = frozenset({"Cc", "Cf", "Zl", "Zp", "Co", "Cn", "Zs"})


def quote(text: str) -> str:
    """A double-quoted string that reads back as the text; nothing in it can end it early.

    The text must be encodable as UTF-8, which the caller checks.
    """
    found = []
    for character in text:
        if character in _SHORT:
            found.append(_SHORT[character])
        elif character != " " and unicodedata.category(character) in _HIDDEN:
            number = ord(character)
            found.append(f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}")
        else:
            found.append(character)
    return '"' + "".join(found) + '"'


def format_body(body: Body) -> str:
    """The text of a file, with a newline at its end unless it is empty.

    Raises:
        MeaningError: a comment stands inside a value, where it would be lost.
    """
    lines = _body_lines(body, "")
    return "\n".join(lines) + "\n" if lines else ""


def format_expression(expression: Expression) -> str:
    """The text of a value; over several lines where its lists were written so."""
    return _value(expression, "")


def _body_lines(body: Body, indent: str) -> list[str]:
    lines: list[str] = []
    run: list[tuple[str, str, str]] = []

    def end_run() -> None:
        width = max((len(line[0]) for line in run), default=0)
        for name, value, comment in run:
            lines.append(f"{indent}{name.ljust(width)} = {value}{comment}")
        run.clear()

    for number, statement in enumerate(body.statements):
        after_comment = number > 0 and isinstance(body.statements[number - 1], Comment)
        is_block = isinstance(statement, Block)
        blank = statement.blank_before or (is_block and not after_comment)
        if blank or not isinstance(statement, Attribute):
            end_run()
        if blank and number > 0:
            lines.append("")
        if isinstance(statement, Comment):
            lines += [indent + statement.text.rstrip()]
            continue
        if statement.inner_comments:
            raise MeaningError("a comment inside a value cannot be kept", statement.line)
        comment = f" {statement.comment.rstrip()}" if statement.comment else ""
        if isinstance(statement, Block):
            lines += _block_lines(statement, indent, comment)
            continue
        value = _value(statement.value, indent)
        if "\n" in value:
            end_run()
            lines.append(f"{indent}{statement.name} = {value}{comment}")
        else:
            run.append((statement.name, value, comment))
    end_run()
    return lines


def _block_lines(block: Block, indent: str, comment: str) -> list[str]:
    head = indent + ".".join(block.name) + (f' "{block.label}"' if block.label else "")
    if not block.body.statements:
        return [f"{head} {{ }}{comment}"]
    inside = _body_lines(block.body, indent + "\t")
    return [f"{head} {{", *inside, f"{indent}}}{comment}"]


def _value(node: Expression, indent: str) -> str:
    found = ""
    if isinstance(node, Literal):
        found = node.text
    elif isinstance(node, Name):
        found = node.name
    elif isinstance(node, Access):
        found = f"{_value(node.of, indent)}.{node.name}"
    elif isinstance(node, Index):
        found = f"{_value(node.of, indent)}[{_value(node.index, indent)}]"
    elif isinstance(node, Call):
        found = _value(node.of, indent) + _items(node.arguments, "()", indent)
    elif isinstance(node, Unary):
        found = node.operator + _value(node.operand, indent)
    elif isinstance(node, Binary):
        found = f"{_value(node.left, indent)} {node.operator} {_value(node.right, indent)}"
    elif isinstance(node, Paren):
        found = f"({_value(node.inner, indent)})"
    elif isinstance(node, Array):
        found = _items(node.items, "[]", indent)
    else:
        found = _items(node.items, "{}", indent)
    return found


def _items(items: Items, brackets: str, indent: str) -> str:
    inside = indent + "\t" if any(items.breaks) else indent
    width = _key_width(items)
    found = brackets[0]
    for number, (element, breaks) in enumerate(zip(items.elements, items.breaks, strict=True)):
        if number:
            found += "," if breaks else ", "
        if breaks:
            found += "\n" + inside
        found += _element(element, inside, width)
    if items.closes_on_own_line:
        found += ",\n" + indent
    return found + brackets[1]


def _element(element: Expression | Field, indent: str, width: int) -> str:
    if not isinstance(element, Field):
        return _value(element, indent)
    return f"{_key(element.key).ljust(width)} = {_value(element.value, indent)}"


def _key(key: str) -> str:
    return key if is_identifier(key) else quote(key)


def _key_width(items: Items) -> int:
    """Keys that each begin a line are aligned, unless a value spans lines."""
    fields = [element for element in items.elements if isinstance(element, Field)]
    if not fields or not all(items.breaks):
        return 0
    if any("\n" in _value(field.value, "") for field in fields):
        return 0
    return max(len(_key(field.key)) for field in fields)
