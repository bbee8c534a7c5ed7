r"""Reads tests/bpf/corpus: conversations in a form that people can read.

A blank line begins another turn. In a turn, each line begins with a mark:

    #           a comment
    >> and >    the first line of a request, and a further one; CR LF is added
    << and <    the same for a response; interim ones belong to the final one behind them
    >>| >| <<| <|   the same with Python's escapes (\r\n, \x00), and nothing is added; one blank
                behind the mark is no part of it
    <.          the response ends here; without it, before the next one or where the turn ends
    =           METHOD PATH STATUS REQUEST-BYTES RESPONSE-BYTES VERSION of an exchange that must
                come out; "-" is no path
    !           the stream of responses ends

{x*300} stands for 300 times x.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.bpf.replay import Truth, Turn

from otelauto.abi._layout import Version

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_conversation"]

MARK = re.compile(r"(>>?|<<?)(\|?) ?(.*)")
VERSIONS = {"1.0": Version.HTTP_1_0, "1.1": Version.HTTP_1_1}


def read_conversation(path: Path) -> list[Turn]:
    """The turns of one file.

    Raises:
        ValueError: a line has no known mark.
    """
    blocks = re.split(r"\n(?:[ \t]*\n)+", path.read_text(encoding="ascii").strip("\n"))
    turns = [_turn(block.splitlines()) for block in blocks]
    return [turn for turn in turns if turn.requests or turn.responses]


def _turn(lines: list[str]) -> Turn:
    streams = {">": b"", "<": b""}
    first: list[int] = []
    last: list[int] = []
    wanted: list[list[str]] = []
    closed = answering = False
    for line in lines:
        text = re.sub(r"\{(.+?)\*(\d+)\}", lambda match: match[1] * int(match[2]), line)
        match = MARK.fullmatch(text)
        if answering and text.startswith(("<<", "<.")):
            last.append(len(streams["<"]) - 1)
            answering = False
        if text.startswith("="):
            wanted.append(text[1:].split())
        elif text.startswith("!"):
            closed = True
        elif match and text != "<.":
            mark, raw, rest = match.groups()
            answering = answering or mark == "<<"
            if mark == ">>":
                first.append(len(streams[">"]))
            streams[mark[0]] += _unescaped(rest) if raw else rest.encode("ascii") + b"\r\n"
        elif not text.startswith(("#", "<.")):
            raise ValueError(f"no known mark: {line!r}")
    if answering:
        last.append(len(streams["<"]) - 1)
    truths = [
        _truth(words, begin, end) for words, begin, end in zip(wanted, first, last, strict=True)
    ]
    return Turn(streams[">"], streams["<"], tuple(truths), closed)


def _unescaped(text: str) -> bytes:
    return text.encode("ascii").decode("unicode_escape").encode("latin-1")


def _truth(words: list[str], first: int, last: int) -> Truth:
    method, path, status, request_bytes, response_bytes, version = words
    return Truth(
        method=method,
        path=None if path == "-" else path.encode("ascii"),
        status=int(status),
        request_bytes=int(request_bytes),
        response_bytes=int(response_bytes),
        version=VERSIONS[version],
        first=first,
        last=last,
    )
