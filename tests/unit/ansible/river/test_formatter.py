"""The one form of a text, and that forming it changes nothing."""

from __future__ import annotations

import pytest
from ansible_collections.otelauto.fleet.plugins.plugin_utils.river.errors import (
    MeaningError,
    RiverError,
)
from ansible_collections.otelauto.fleet.plugins.plugin_utils.river.formatter import (
    format_body,
    quote,
)
from ansible_collections.otelauto.fleet.plugins.plugin_utils.river.parser import parse
from ansible_collections.otelauto.fleet.plugins.plugin_utils.river.read import read
from ansible_collections.otelauto.fleet.plugins.plugin_utils.river.scanner import (
    decode_string,
    scan,
)
from hypothesis import given
from hypothesis import strategies as st

FORMS = {
    "equal signs are aligned in a run": (
        "x = 1\nlonger = 2\n\ny = 3\n// c\nzz = 4",
        "x      = 1\nlonger = 2\n\ny = 3\n// c\nzz = 4\n",
    ),
    "a blank line before a block": ("b { }\nc { }", "b { }\n\nc { }\n"),
    "blank lines at the edges go": (
        "b {\n\nx = 1\n\n\ny = 2\n\n}\nz = 1",
        "b {\n\tx = 1\n\n\ty = 2\n}\nz = 1\n",
    ),
    "objects on one line": ("a = {x=1,yy=2}", "a = {x = 1, yy = 2}\n"),
    "objects over lines are aligned": (
        "a = {\nx=1,\nyy=2,\n}",
        "a = {\n\tx  = 1,\n\tyy = 2,\n}\n",
    ),
    "a trailing comma goes with its line": ("a = [1, 2,]", "a = [1, 2]\n"),
    "lists keep their lines": ("a = [\n1,\n2]", "a = [\n\t1,\n\t2]\n"),
    "one-line blocks are opened": ("b { x = 1 }", "b {\n\tx = 1\n}\n"),
    "operators get spaces": ("a = 1+2*-3", "a = 1 + 2 * -3\n"),
    "sums are joined": ('a = "x" +\n "y"', 'a = "x" + "y"\n'),
    "dots lose spaces": ('a . b "l" { }', 'a.b "l" { }\n'),
    "an empty label goes": ('b "" { }', "b { }\n"),
    "comments stay": ("// c\nb {\n// d\nx = 1 // e\n}", "// c\nb {\n\t// d\n\tx = 1 // e\n}\n"),
    "carriage returns go": ("a = 1\r\nb = 2\r\n", "a = 1\nb = 2\n"),
    "keys are quoted where they must be": ('a = {"b-c" = 1, "d" = 2}', 'a = {"b-c" = 1, d = 2}\n'),
    "nothing stays nothing": ("\n\n", ""),
}


@pytest.mark.parametrize(("text", "form"), FORMS.values(), ids=FORMS)
def test_the_form(text, form):
    assert form == format_body(parse(text))
    assert form == format_body(parse(form))


def test_a_comment_inside_a_value_is_refused_and_not_lost():
    with pytest.raises(MeaningError, match="line 1: a comment inside a value"):
        format_body(parse("a = [\n1, // one\n2,\n]"))


@given(st.text())
def test_a_quoted_text_is_one_token_and_reads_back(text):
    literal = quote(text)
    tokens = scan(literal)
    assert ["STRING", "TERM", "EOF"] == [token.kind for token in tokens]
    assert text == decode_string(literal)
    assert literal.isprintable()


PARTS = st.sampled_from(
    [
        "a = 1\n",
        "longer = [1,\n2]\n",
        "b {\n",
        "}\n",
        "\n",
        "// c\n",
        'c.d "l" {\n',
        "e = {x=1,\ny=`r`}\n",
        "f = g(1, -2) + h.i[3]\n",
        'k = "s" // t\n',
        "/* m\nn */\n",
    ]
)


@given(st.lists(PARTS, max_size=25).map("".join))
def test_forming_is_idempotent_and_keeps_the_meaning(text):
    try:
        tree = parse(text)
        meaning = read(tree)
        form = format_body(tree)
    except RiverError:
        return
    assert meaning == read(parse(form))
    assert form == format_body(parse(form))
