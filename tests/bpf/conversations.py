"""Strategies for valid HTTP/1 conversations, of every kind that the state machine follows."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from tests.bpf.reference import turn_of

from otelauto.abi._layout import METHODS

__all__ = ["conversations", "cut_points", "examples", "segmentations"]

#: What a body holds: it looks like messages, chunks and ends of heads.
LOOKALIKE = (
    b"GET /evil HTTP/1.1\r\nHost: x\r\n\r\nHTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
    b"5\r\nabcde\r\n0\r\n\r\n\n\n\r\n"
)
TOKEN = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
METHOD = st.one_of(
    st.sampled_from(["GET", "POST", "HEAD", "PUT"]),
    st.sampled_from([name for name in METHODS[1:] if name != "CONNECT"]),
    st.text(TOKEN, min_size=1, max_size=23).filter(
        lambda text: text[0] not in "-_" and text != "CONNECT"
    ),
)
AROUND = st.sampled_from([249, 255, 256, 257, 300, 319, 320, 321, 383, 384, 385, 511, 512, 513])
PATH_BYTE = "abcXYZ019/._~-%@:!$&'()*+,;=[]{}|\\^`<>\""
PATH = st.one_of(
    st.text(PATH_BYTE, max_size=20).map(lambda text: "/" + text),
    AROUND.map(lambda size: "/" + "p" * (size - 1)),
    st.tuples(AROUND, st.integers(0, 40)).map(lambda pair: "/" + "q" * sum(pair)),
)
QUERY = st.one_of(
    st.just(""),
    st.sampled_from(["?", "#", "?a=b", "#frag", "?x=/y?z#w", "?HTTP/1.1"]),
    AROUND.map(lambda size: "?" + "v" * size),
)
AUTHORITY = st.one_of(
    st.sampled_from(["h", "host.example", "host.example:8080", "[::1]:80", "user@h"]),
    st.integers(1, 95).map(lambda size: "a" * size),
)
TARGET = st.one_of(
    st.tuples(PATH, QUERY).map("".join),
    st.tuples(st.sampled_from(["http://", "https://", "HTTP://"]), AUTHORITY, PATH, QUERY).map(
        "".join
    ),
    st.just("*"),
)
DECOYS = (
    "X-Content-Length: 5",
    "Content-Lengthy: 5",
    "Content-Len: 5",
    "Content-Encoding: chunked",
    "Transfer-Encodings: chunked",
    "Transfer-Encod: chunked",
    "TE: chunked",
    "X-Transfer-Encoding: chunked",
    "Content-Type: text/plain",
)
HEADER = st.one_of(
    st.sampled_from(DECOYS),
    st.tuples(st.text(TOKEN, min_size=1, max_size=9), st.integers(0, 30)).map(
        lambda pair: f"x{pair[0]}: {'v' * pair[1]}"
    ),
    st.one_of(AROUND, st.sampled_from([1000, 4096, 16384])).map(
        lambda size: "Cookie: " + "c" * size
    ),
)
HEADERS = st.lists(HEADER, max_size=4)
SIZE = st.one_of(st.integers(0, 3), st.sampled_from([14, 60, 255, 512, 513, 2000]))
EXTENSION = st.one_of(
    st.sampled_from(["", ";a=b", ';q="x;y"', ";x"]),
    st.integers(40, 700).map(lambda size: ";" + "e" * size),
)
TRAILERS = st.lists(
    st.one_of(
        st.sampled_from(["X-T: 1", "Content-Length: 9", "Digest: abc"]),
        st.integers(50, 70).map(lambda size: "X-Long: " + "t" * size),
        st.just("X-Longer: " + "t" * 400),
    ),
    max_size=2,
)


def examples(number):
    """Settings for that many examples, or OTELAUTO_HOST_EXAMPLES percent of them."""
    percent = int(os.environ.get("OTELAUTO_HOST_EXAMPLES", "100"))
    return settings(
        max_examples=max(number * percent // 100, 1),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def body_of(size):
    """Bytes of a body, of that size."""
    return (LOOKALIKE * (size // len(LOOKALIKE) + 1))[:size]


@st.composite
def any_case(draw, text):
    """The text with some letters in the other case."""
    style = draw(st.sampled_from([str, str.lower, str.upper, str.swapcase]))
    return style(text)


@st.composite
def chunked(draw):
    """A body in chunks."""
    parts = []
    for size in draw(st.lists(SIZE.filter(bool), max_size=3)):
        digits = draw(st.sampled_from(["{:x}", "{:X}", "{:04x}"])).format(size)
        parts += [f"{digits}{draw(EXTENSION)}\r\n".encode(), body_of(size), b"\r\n"]
    last = draw(st.sampled_from(["0", "000"])) + draw(EXTENSION)
    trailers = "".join(f"{line}\r\n" for line in draw(TRAILERS))
    return b"".join(parts) + f"{last}\r\n{trailers}\r\n".encode()


@st.composite
def framed(draw, *, may_be_chunked=True):
    """(header lines, body) of a message whose end is told by its head."""
    kind = draw(st.sampled_from(["none", "length", "chunked"]))
    if kind == "chunked" and may_be_chunked:
        coding = draw(st.sampled_from(["chunked", "Chunked", "CHUNKED"]))
        return [draw(any_case("Transfer-Encoding")) + f": {coding}"], draw(chunked())
    size = 0 if kind == "none" else draw(SIZE)
    number = draw(st.sampled_from(["{}", "{:05}"])).format(size)
    blank = draw(st.sampled_from([" ", "", "\t", "  "]))
    return [draw(any_case("Content-Length")) + f":{blank}{number}"], body_of(size)


def head(start, lines, line_end):
    """A message head of these lines."""
    return "".join(f"{line}{line_end}" for line in (start, *lines, "")).encode()


LINE_END = st.sampled_from(["\r\n", "\r\n", "\r\n", "\n"])


@st.composite
def request(draw, method, version):
    """The bytes of a request."""
    lines = [*draw(HEADERS), "Host: h"]
    body = b""
    if version == "1.1" and draw(st.booleans()):
        more, body = draw(framed())
        lines += more
    start = f"{method} {draw(TARGET)} HTTP/{version}"
    return head(start, draw(st.permutations(lines)), draw(LINE_END)) + body


@st.composite
def response(draw, method, version, *, last):
    """(bytes of a response with its interim ones, whether it ends with the connection)."""
    interim = b""
    if version == "1.1":
        for status in draw(st.lists(st.sampled_from([100, 103]), max_size=2)):
            interim += head(f"HTTP/1.1 {status} Wait", draw(HEADERS), "\r\n")
    status = draw(st.sampled_from([200, 200, 201, 204, 304, 404, 503]))
    reason = draw(st.sampled_from([" OK", " ", "", " Not \xe9xactly"]))
    lines = draw(HEADERS)
    start = f"HTTP/{version} {status}{reason}"
    if last and status == 200 and method != "HEAD" and draw(st.booleans()):
        body = body_of(draw(SIZE))
        return interim + head(start, lines, "\r\n") + body, True
    more, body = draw(framed(may_be_chunked=version == "1.1"))
    lines = draw(st.permutations([*lines, *more]))
    if method == "HEAD" or status in {204, 304}:
        body = b""
    return interim + head(start, lines, draw(LINE_END)) + body, False


@st.composite
def conversations(draw, *, most_turns=3, most_pipelined=3):
    """Turns, with what the reference parser says of them."""
    turns = []
    number = draw(st.integers(1, most_turns))
    for index in range(number):
        pairs = draw(st.integers(1, most_pipelined))
        requests, responses, closed = b"", b"", False
        for pair in range(pairs):
            method = draw(METHOD)
            version = draw(st.sampled_from(["1.1", "1.1", "1.1", "1.0"]))
            last = index == number - 1 and pair == pairs - 1
            requests += draw(request(method, version))
            answer, closed = draw(response(method, version, last=last))
            responses += answer
        turns.append(turn_of(requests, responses, closed=closed))
    return turns


@st.composite
def cut_points(draw, turns):
    """Where the operations of a conversation end."""
    return {
        (index, half): draw(st.lists(st.integers(1, max(len(stream), 1)), max_size=6))
        for index, turn in enumerate(turns)
        for half, stream in enumerate((turn.requests, turn.responses))
    }


@st.composite
def segmentations(draw):
    """A function from the bytes of an operation to its segments; some are empty."""
    sizes = draw(st.lists(st.sampled_from([0, 0, 1, 2, 7, 64, 511, 512, 513]), max_size=12))
    empties = draw(st.sampled_from([0, 1, 4, 5, 9]))

    def segments(data):
        parts = [b""] * empties
        at = 0
        for size in sizes:
            parts.append(data[at : at + size])
            at += size
        return [*parts, data[at:]]

    return segments
