# SPDX-License-Identifier: Apache-2.0
"""Tokens to the syntax tree, by River's grammar and nothing beyond it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .errors import RiverSyntaxError
from .scanner import decode_string, scan
from .syntax import (
    Access,
    Array,
    Attribute,
    Binary,
    Block,
    Body,
    Call,
    Comment,
    Field,
    Index,
    Items,
    Literal,
    Name,
    Object,
    Paren,
    Unary,
    is_identifier,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from .scanner import Token
    from .syntax import Expression, Statement

__all__ = ["parse", "parse_expression"]

#: Deeper nesting is refused: no configuration needs it, and Python's stack is finite.
MAX_DEPTH = 64
#: Binary operators from the loosest to the tightest; ``^`` alone groups from the right.
_LEVELS = (
    ("||",),
    ("&&",),
    ("==", "!=", "<", "<=", ">", ">="),
    ("+", "-"),
    ("*", "/", "%"),
    ("^",),
)
_LEVEL = {operator: level for level, operators in enumerate(_LEVELS) for operator in operators}
_KINDS = {"NUMBER": "number", "FLOAT": "float", "STRING": "string", "BOOL": "bool", "NULL": "null"}


class _Parser:
    """Recursive descent over the tokens; comments are looked at between statements only."""

    def __init__(self, text: str) -> None:
        tokens = scan(text)
        self.tokens = [token for token in tokens if token.kind != "COMMENT"]
        self.comments = [token for token in tokens if token.kind == "COMMENT"]
        self.at = 0
        self.depth = 0
        self.last_line = 0

    @property
    def now(self) -> Token:
        return self.tokens[self.at]

    def next(self) -> Token:
        token = self.tokens[self.at]
        if token.kind != "TERM":
            self.last_line = token.end_line
        self.at += 1
        return token

    def problem(self, reason: str, token: Token | None = None) -> RiverSyntaxError:
        place = token or self.now
        return RiverSyntaxError(reason, place.line, place.column)

    def expect(self, kind: str, what: str) -> Token:
        if self.now.kind != kind:
            raise self.problem(f"expected {what}, found {_show(self.now)}")
        return self.next()

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.problem(f"nested deeper than {MAX_DEPTH}")

    # Statements.

    def body(self, closer: str) -> Body:
        self.deeper()
        found: list[Statement] = []
        previous_end = self.last_line
        while True:
            previous_end = self.take_comments(found, previous_end)
            if self.now.kind == closer:
                break
            if self.now.kind != "IDENT":
                raise self.problem(f"a statement cannot begin with {_show(self.now)}")
            statement = self.statement(previous_end)
            if self.now.kind == "TERM":
                self.next()
            elif self.now.kind != closer:
                raise self.problem(f"expected the end of the line, found {_show(self.now)}")
            found.append(self.with_comments(statement))
            previous_end = self.last_line
        self.depth -= 1
        return Body(tuple(found))

    def take_comments(self, found: list[Statement], previous_end: int) -> int:
        """Comments before the token that is next become statements; the line they end on."""
        here = (self.now.line, self.now.column)
        while self.comments and (self.comments[0].line, self.comments[0].column) < here:
            token = self.comments.pop(0)
            blank = bool(found) and token.line > previous_end + 1
            found.append(Comment(token.text, token.line, blank))
            previous_end = token.end_line
        return previous_end

    def with_comments(self, statement: Attribute | Block) -> Statement:
        """The statement with the comment at the end of its line, and those inside its value."""
        inside: list[str] = []
        while self.comments and self.comments[0].line < self.last_line:
            inside.append(self.comments.pop(0).text)
        trailing = ""
        if self.comments and self.comments[0].line == self.last_line == self.comments[0].end_line:
            trailing = self.comments.pop(0).text
        return replace(statement, comment=trailing, inner_comments=tuple(inside))

    def statement(self, previous_end: int) -> Attribute | Block:
        first = self.next()
        blank = first.line > previous_end + 1
        if self.now.kind == "=":
            self.next()
            value = self.expression()
            if self.now.kind == "{":
                raise self.problem("a block cannot be a value")
            return Attribute(first.text, value, first.line, blank)
        names = [first.text]
        while self.now.kind == ".":
            self.next()
            names.append(self.expect("IDENT", "a name after the dot").text)
        label = ""
        if self.now.kind == "STRING":
            label = self.label()
        self.expect("{", "'=' or a block's label or '{'")
        body = self.body("}")
        self.expect("}", "'}'")
        return Block(tuple(names), label, body, first.line, blank)

    def label(self) -> str:
        token = self.next()
        label = token.text[1:-1]
        if not token.text.startswith('"') or (label and not is_identifier(label)):
            raise self.problem(f"{token.text} is not a label: a quoted identifier is", token)
        return label

    # Expressions.

    def expression(self, loosest: int = 0) -> Expression:
        """Precedence climbing: operands joined by operators that bind at least so tightly."""
        left = self.unary()
        depth = self.depth
        while (level := _LEVEL.get(self.now.kind, -1)) >= loosest:
            self.deeper()  # the tree leans, one level for each operator
            operator = self.next().kind
            right = self.expression(level if operator == "^" else level + 1)
            left = Binary(operator, left, right)
        self.depth = depth
        return left

    def unary(self) -> Expression:
        if self.now.kind not in ("!", "-"):
            return self.postfix()
        self.deeper()
        found = Unary(self.next().kind, self.unary())
        self.depth -= 1
        return found

    def postfix(self) -> Expression:
        value = self.primary()
        depth = self.depth
        while self.now.kind in (".", "[", "("):
            self.deeper()
            opener = self.next().kind
            if opener == ".":
                value = Access(value, self.expect("IDENT", "a name after the dot").text)
            elif opener == "[":
                value = Index(value, self.expression())
                self.expect("]", "']'")
            else:
                value = Call(value, self.items(")", self.expression))
        self.depth = depth
        return value

    def primary(self) -> Expression:
        token = self.now
        if token.kind == "IDENT":
            return Name(self.next().text)
        if token.kind in _KINDS:
            return Literal(_KINDS[token.kind], self.next().text)
        if token.kind not in ("(", "[", "{"):
            raise self.problem(f"expected a value, found {_show(token)}")
        self.deeper()
        self.next()
        found: Expression
        if token.kind == "(":
            found = Paren(self.expression())
            self.expect(")", "')'")
        elif token.kind == "[":
            found = Array(self.items("]", self.expression))
        else:
            found = Object(self.items("}", self.field))
        self.depth -= 1
        return found

    def field(self) -> Field:
        token = self.now
        if token.kind not in ("IDENT", "STRING"):
            raise self.problem(f"expected a key, found {_show(token)}")
        self.next()
        key = token.text if token.kind == "IDENT" else decode_string(token.text)
        self.expect("=", "'=' after the key")
        return Field(key, self.expression())

    def items(self, closer: str, element: Callable[[], Expression | Field]) -> Items:
        """Elements up to the closer, with commas; a closer on a line of its own needs one."""
        elements: list[Expression | Field] = []
        breaks: list[bool] = []
        previous = self.tokens[self.at - 1]
        while self.now.kind != closer:
            breaks.append(self.now.line > previous.end_line)
            elements.append(element())
            previous = self.tokens[self.at - 1]
            if self.now.kind == closer:
                break
            if self.now.kind == "TERM":
                raise self.problem("expected ',' at the end of the line")
            previous = self.expect(",", f"',' or {closer!r}")
        own_line = bool(elements) and self.now.line > previous.end_line
        self.next()
        return Items(tuple(elements), tuple(breaks), own_line)


def _show(token: Token) -> str:
    names = {"TERM": "the end of the line", "EOF": "the end of the text"}
    return names.get(token.kind) or repr(token.text[:40])


def parse(text: str) -> Body:
    """The syntax tree of a whole file.

    Raises:
        RiverSyntaxError: what the text is not River at, with line and column.
    """
    return _Parser(text).body("EOF")


def parse_expression(text: str) -> Expression:
    """The syntax tree of exactly one expression; anything after it is refused.

    Raises:
        RiverSyntaxError: the text is not one expression, or holds a comment.
    """
    parser = _Parser(text)
    if parser.comments:
        raise parser.problem("a comment has no place in an expression", parser.comments[0])
    found = parser.expression()
    if parser.now.kind == "TERM":
        parser.next()
    parser.expect("EOF", "the end of the expression")
    return found
