"""The verdicts of River's own parser, one for each rule of the grammar, and hostile texts."""

from __future__ import annotations

import contextlib

import pytest
from ansible_collections.otelauto.fleet.plugins.plugin_utils.river.errors import (
    RiverError,
    RiverSyntaxError,
)
from ansible_collections.otelauto.fleet.plugins.plugin_utils.river.parser import (
    parse,
    parse_expression,
)
from ansible_collections.otelauto.fleet.plugins.plugin_utils.river.syntax import Body
from hypothesis import given
from hypothesis import strategies as st

ACCEPTED = {
    "an operator at the end of a line": "a = 1 +\n  2",
    "newlines after =": "a =\n\n  1",
    "a closer on the last element's line": "a = [\n 1,\n 2]",
    "one trailing comma": "a = [1, 2,]",
    "quoted and bare keys": 'a = { "__address__" = "h:1", job = "x" }',
    "a key twice in an object": "a = { x = 1, x = 2 }",
    "an empty label": 'b "" { }',
    "spaces around dots": 'a . b "l" { }',
    "a raw string": "a = `\\d+`",
    "a raw string over lines": "a = `l1\nl2`",
    "an octal number": "a = 010",
    "unary before power": "a = -2 ^ 2",
    "power from the right": "a = 2 ^ 3 ^ 2",
    "chained comparison": "a = 1 < 2 < 3",
    "equality of types": 'a = 1 == "1"',
    "a sum of types": 'a = "x" + 1',
    "index of an empty object": 'a = {}["x"]',
    "a comment whose newline ends the statement": "a = 1 /* c\n */ b = 2",
    "no interpolation": 'a = "${FOO}"',
    "a block on one line": "b { x = 1 }",
    "arguments with a trailing comma": "a = coalesce(null,\n 1,\n)",
    "a byte order mark at the beginning": "\ufeffa = 1",
    "negation first": "a = !true == false",
    "modulo": "a = -7 % 3",
    "True is a name": "a = True",
    "an access of an object": "a = {}.x",
    "floats": "a = [1., .5, 1.5e-3, 2E9]",
    "every escape": r'a = "\a\b\f\n\r\t\v\\\"\101\x41\u0041\U0001F600"',
    "letters of any script": "größe = 1",
    "nothing": "",
    "only a comment": "// c",
}
REFUSED = {
    "an operator at the beginning of a line": "a = 1\n  + 2",
    "an operator at the beginning of a line in parentheses": "a = (1\n + 2)",
    "a closer on a line of its own without a comma": "a = [\n 1,\n 2\n]",
    "a comma at the beginning of a line": "a = [\n 1\n , 2,\n]",
    "an empty element": "a = [,]",
    "two commas": "a = [1,,2]",
    "a colon": "a = { x: 1 }",
    "a keyword as key": "a = { true = 1 }",
    "a label with a hyphen": 'b "my-label" { }',
    "a raw label": "b `l` { }",
    "a keyword as label": 'b "true" { }',
    "an escape in a label": 'b "a\\u0062" { }',
    "two labels": 'b "a" "b" { }',
    "a brace on the next line": "b\n{\n}",
    "a dotted attribute": "a.b = 1",
    "an escaped apostrophe": r"""a = "it\'s" """,
    "an unknown escape": r'a = "\d+"',
    "a short hexadecimal escape": r'a = "\x4"',
    "an octal escape beyond a byte": r'a = "\400"',
    "a surrogate": r'a = "\ud800"',
    "beyond Unicode": r'a = "\U00110000"',
    "a newline in a string": 'a = "l1\nl2"',
    "a unit": "a = 5s",
    "an underscore in a number": "a = 1_000",
    "hexadecimal": "a = 0x1F",
    "an exponent without digits": "a = 1e",
    "unary plus": "a = +1",
    "a comment is no terminator": "a = 1 /* c */ b = 2",
    "a hash comment": "# c",
    "two statements on a line": "b { x = 1 y = 2 }",
    "two blocks on a line": "b { } c { }",
    "a block as value": "a = b { x = 1 }",
    "arguments without a trailing comma": "a = coalesce(null,\n 1\n)",
    "a comma after a statement": "a = 1,",
    "a semicolon": "a = 1;",
    "NUL": "a = 1\0",
    "a no-break space": "a\u00a0= 1",
    "an open comment": "a = 1 /* c",
    "an open raw string": "a = `x",
    "an open block": "b {",
    "a stray brace": "}",
    "a keyword as attribute": "null = 1",
    "adjacent strings": 'a = "x" "y"',
    "a single ampersand": "a = 1 & 2",
}


@pytest.mark.parametrize("text", ACCEPTED.values(), ids=ACCEPTED)
def test_the_grammar_accepts(text):
    assert isinstance(parse(text), Body)


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_the_grammar_refuses(text):
    with pytest.raises(RiverSyntaxError):
        parse(text)


def test_an_error_tells_line_and_column():
    with pytest.raises(RiverSyntaxError, match="line 3, column 7: expected a value") as caught:
        parse("a = 1\nb {\n  c = ]\n}")
    assert (3, 7) == (caught.value.line, caught.value.column)


@pytest.mark.parametrize(
    "text",
    ["(" * 5000, "[" * 5000 + "]" * 5000, "-" * 5000 + "1", "1" + "+1" * 5000, "a" + ".b" * 5000],
)
def test_deep_nesting_is_an_error_and_no_crash(text):
    with pytest.raises(RiverError):
        parse(f"a = {text}")


def test_deep_blocks_are_an_error_and_no_crash():
    with pytest.raises(RiverError, match="nested deeper"):
        parse("b {\n" * 5000)


@pytest.mark.parametrize("text", ["1\nb = 2", "1 // c", "1, 2", "", "a }\nb {", "x\n"])
def test_an_expression_is_exactly_one(text):
    if text == "x\n":
        assert parse_expression(text) is not None
        return
    with pytest.raises(RiverSyntaxError):
        parse_expression(text)


BRACKETS = ["{", "}", "(", ")", "[", "]", ",", "=", ".", "\n", " "]
OPERATORS = ["+", "-", "!", "^", "&&", "//", "/*", "*/", "\\", "$"]
WORDS = st.sampled_from(["a", "true", "1", ".5", '"s"', "`r`", "é", "e", *BRACKETS, *OPERATORS])


@given(st.lists(WORDS, max_size=40).map("".join) | st.text(max_size=60))
def test_any_text_is_a_tree_or_an_error_of_its_own(text):
    with contextlib.suppress(RiverError):
        assert isinstance(parse(text), Body)
