# SPDX-License-Identifier: Apache-2.0
"""Text to tokens, by the lexical rules of River (which Alloy shares).

A newline ends a statement after a name, a literal or a closing bracket, as in Go; the scanner
gives that as a token of its own, so that the parser sees no white space.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import RiverSyntaxError
from .syntax import is_letter

__all__ = ["Token", "decode_string", "scan"]

#: After these a newline ends the statement.
_ENDING = frozenset({"IDENT", "NUMBER", "FLOAT", "STRING", "BOOL", "NULL", "}", ")", "]"})
_TWO = frozenset({"||", "&&", "==", "!=", "<=", ">="})
_ONE = frozenset("!=<>+-*/%^{}()[],.")
_NUMBER = re.compile(r"(?:[0-9]+(\.[0-9]*)?|(\.[0-9]+))([eE][+-]?[0-9]*)?")
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\\"])|([0-7]{3})|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))"
)
_SIMPLE = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    '"': '"',
}


@dataclass(frozen=True)
class Token:
    """A word of the text; ``kind`` is the operator itself, or IDENT, STRING, COMMENT and so on."""

    kind: str
    text: str
    line: int
    column: int
    end_line: int


class _Scanner:
    """One pass over one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 1 if text.startswith("\ufeff") else 0
        self.line = 1
        self.line_start = self.at
        self.found: list[Token] = []
        self.ends = False

    def problem(self, reason: str, at: int | None = None) -> RiverSyntaxError:
        place = self.at if at is None else at
        return RiverSyntaxError(reason, self.line, place - self.line_start + 1)

    def emit(self, kind: str, length: int) -> None:
        text = self.text[self.at : self.at + length]
        line, column = self.line, self.at - self.line_start + 1
        newlines = text.count("\n")
        if newlines:
            self.line += newlines
            self.line_start = self.at + text.rindex("\n") + 1
        self.at += length
        self.found.append(Token(kind, text, line, column, self.line))
        if kind != "COMMENT":
            self.ends = kind in _ENDING

    def terminate(self) -> None:
        if self.ends:
            column = self.at - self.line_start + 1
            self.found.append(Token("TERM", "", self.line, column, self.line))
            self.ends = False

    def run(self) -> list[Token]:
        while self.at < len(self.text):
            self.step()
        self.terminate()
        self.found.append(Token("EOF", "", self.line, self.at - self.line_start + 1, self.line))
        return self.found

    def step(self) -> None:
        character = self.text[self.at]
        pair = self.text[self.at : self.at + 2]
        if character == "\n":
            self.terminate()
            self.at += 1
            self.line += 1
            self.line_start = self.at
        elif character in " \t\r":
            self.at += 1
        elif pair in ("//", "/*"):
            self.comment(pair)
        elif character == '"':
            self.string()
        elif character == "`":
            self.raw_string()
        elif character in "0123456789" or re.match(r"\.[0-9]", pair):
            self.number()
        elif is_letter(character):
            self.word()
        elif pair in _TWO:
            self.emit(pair, 2)
        elif character in _ONE:
            self.emit(character, 1)
        else:
            raise self.problem(f"the character {character!r} has no meaning here")

    def comment(self, opener: str) -> None:
        if opener == "//":
            end = self.text.find("\n", self.at)
            end = len(self.text) if end < 0 else end
            self.emit("COMMENT", len(self.text[self.at : end].rstrip("\r")))
            return
        end = self.text.find("*/", self.at + 2)
        if end < 0:
            raise self.problem("the comment is not closed with */")
        end += 2
        # A comment over several lines ends the statement before it, as its newline would.
        if "\n" in self.text[self.at : end]:
            self.terminate()
        self.emit("COMMENT", end - self.at)

    def string(self) -> None:
        at = self.at + 1
        while True:
            if at >= len(self.text) or self.text[at] == "\n":
                raise self.problem("the string is not closed on its line")
            if self.text[at] == '"':
                break
            if self.text[at] == "\\":
                at = self.escape(at)
                continue
            if self.text[at] == "\0" or "\ud800" <= self.text[at] <= "\udfff":
                raise self.problem("the string holds a NUL or half a surrogate pair", at)
            at += 1
        self.emit("STRING", at + 1 - self.at)

    def escape(self, at: int) -> int:
        match = _ESCAPE.match(self.text, at)
        if match is None:
            raise self.problem(f"unknown escape {self.text[at : at + 2]!r}", at)
        octal, long = match.group(2), match.group(4) or match.group(5)
        if octal and int(octal, 8) > 255:
            raise self.problem(f"\\{octal} is more than one byte", at)
        if long and (int(long, 16) > 0x10FFFF or 0xD800 <= int(long, 16) <= 0xDFFF):
            raise self.problem(f"{match.group()} is no Unicode character", at)
        return match.end()

    def raw_string(self) -> None:
        end = self.text.find("`", self.at + 1)
        if end < 0:
            raise self.problem("the raw string is not closed")
        if "\0" in self.text[self.at : end]:
            raise self.problem("the raw string holds a NUL")
        self.emit("STRING", end + 1 - self.at)

    def number(self) -> None:
        match = _NUMBER.match(self.text, self.at)
        if match is None:  # step() looked at the first character: it cannot happen
            raise self.problem("this is no number")
        exponent = match.group(3)
        if exponent and not exponent[-1].isdigit():
            raise self.problem("an exponent needs digits")
        is_float = exponent or match.group(1) is not None or match.group(2)
        self.emit("FLOAT" if is_float else "NUMBER", match.end() - self.at)

    def word(self) -> None:
        end = self.at + 1
        while end < len(self.text) and _continues(self.text[end]):
            end += 1
        text = self.text[self.at : end]
        kind = {"true": "BOOL", "false": "BOOL", "null": "NULL"}.get(text, "IDENT")
        self.emit(kind, end - self.at)


def _continues(character: str) -> bool:
    return is_letter(character) or character.isdecimal()


def scan(text: str) -> list[Token]:
    """The tokens of a text, comments included; the last is EOF.

    Raises:
        RiverSyntaxError: a character, string, number or comment that is not River.
    """
    return _Scanner(text).run()


def decode_string(literal: str) -> str:
    """The value of a STRING token; bytes that are not UTF-8 come as surrogate escapes."""
    if literal.startswith("`"):
        return literal[1:-1].replace("\r", "")
    found = bytearray()
    at, inside = 0, literal[1:-1]
    for match in _ESCAPE.finditer(inside):
        found += inside[at : match.start()].encode("utf-8", "surrogatepass")
        simple, octal, byte, short, long = match.groups()
        if simple:
            found += _SIMPLE[simple].encode()
        elif octal:
            found.append(int(octal, 8))
        elif byte:
            found.append(int(byte, 16))
        else:
            found += chr(int(short or long, 16)).encode()
        at = match.end()
    found += inside[at:].encode("utf-8", "surrogatepass")
    return found.decode("utf-8", "surrogateescape")
