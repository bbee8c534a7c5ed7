"""Data to River: what is written reads back as the same data, whatever the strings hold."""

from __future__ import annotations

import math

import pytest
from ansible_collections.otelauto.fleet.plugins.plugin_utils.river.build import MARKS, build
from ansible_collections.otelauto.fleet.plugins.plugin_utils.river.errors import DataError
from ansible_collections.otelauto.fleet.plugins.plugin_utils.river.formatter import format_body
from ansible_collections.otelauto.fleet.plugins.plugin_utils.river.parser import parse
from ansible_collections.otelauto.fleet.plugins.plugin_utils.river.read import read
from ansible_collections.otelauto.fleet.plugins.plugin_utils.river.syntax import KEYWORDS
from hypothesis import example, given
from hypothesis import strategies as st


def text_of(data, dialect="alloy"):
    return format_body(build(data, dialect))


#: What tends to break out of strings, beside what hypothesis finds.
HOSTILE = [
    'quote " inside',
    "back\\slash\\",
    '\\" escaped quote',
    "line\nbreak",
    'x"\n}\nevil "block" {\n',
    "${HOME}",
    "{{ lookup('pipe', 'id') }}",
    "{% raw %}",
    'env("SECRET")',
    "// no comment",
    "/* no comment */",
    "`raw`",
    "true",
    "null",
    "tab\tand\0nul",
    "naïve Ünïcode 試験 \U0001f600",
    "\u2028\u2029\u202e\ufeff",
    "\r\n",
    " leading and trailing ",
    "",
]
text = st.sampled_from(HOSTILE) | st.text()
numbers = (
    st.integers(-(2**63) + 1, 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.none()
)
keys = text | st.sampled_from(sorted(MARKS)) | st.sampled_from(sorted(KEYWORDS))
values = st.recursive(
    numbers | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


def shielded(value):
    """The value with every mapping taken as it is, and not as a mark."""
    if isinstance(value, list):
        return [shielded(item) for item in value]
    if isinstance(value, dict):
        inside = {key: shielded(item) for key, item in value.items()}
        if len(inside) == 1 and next(iter(inside)).startswith("$"):
            return {"$object": inside}
        return inside
    return value


@given(values)
@example({"$env": "X"})
@example([[{}]])
@example(-0.0)
def test_what_is_written_reads_back_as_the_same_data(value):
    expected = shielded(value)
    [statement] = read(parse(text_of([{"b": {"$block": {"a": expected}}}])))
    [attribute] = statement["b"]["$block"]
    assert repr(expected) == repr(attribute["a"])


@given(text, text)
@example('x"\n}\nevil "block" {\n', "]")
def test_a_string_never_changes_the_structure(name, secret):
    """The tree of the file is the same as with a harmless string, whatever the strings hold."""
    data = {
        "prometheus.remote_write mimir": {
            "endpoint": {"$block": {"url": secret, "headers": {"X-Scope": name}}}
        }
    }
    tree = parse(text_of(data))
    assert ["prometheus.remote_write.mimir"] == [block.title for block in tree.statements]
    [endpoint] = tree.statements[0].body.statements
    assert ["url", "headers"] == [attribute.name for attribute in endpoint.body.statements]
    assert [{"url": secret}, {"headers": {"X-Scope": name}}] == read(tree)[0][
        "prometheus.remote_write mimir"
    ]["$block"][0]["endpoint"]["$block"]


@given(text)
def test_a_name_is_an_identifier_or_refused(name):
    try:
        written = text_of({name: {"x": 1}})
    except DataError:
        return
    [block] = parse(written).statements
    assert name == " ".join(filter(None, (".".join(block.name), block.label))) or name.endswith(
        " "
    )


def test_marks_become_expressions_in_both_dialects():
    data = {
        "a.b c": {
            "url": {"$concat": ["https://", {"$env": "HOST"}, "/push"]},
            "to": [{"$ref": "d.e.f.input"}],
            "key": {"$call": ["string.trim_space", {"$env": "KEY"}]},
            "any": {"$expr": 'env("A") + sys.env("B")'},
        }
    }
    assert (
        'a.b "c" {\n'
        '\turl = "https://" + sys.env("HOST") + "/push"\n'
        "\tto  = [d.e.f.input]\n"
        '\tkey = string.trim_space(sys.env("KEY"))\n'
        '\tany = sys.env("A") + sys.env("B")\n'
        "}\n"
    ) == text_of(data)
    agent = text_of(data, "agent")
    assert 'url = "https://" + env("HOST") + "/push"' in agent
    assert 'key = trim_space(env("KEY"))' in agent
    assert 'any = env("A") + env("B")' in agent


def test_blocks_repeat_and_nest():
    data = {"w m": {"endpoint": {"$block": [{"url": "a"}, {"url": "b", "tls": {"$block": {}}}]}}}
    assert (
        'w "m" {\n\tendpoint {\n\t\turl = "a"\n\t}\n\n'
        '\tendpoint {\n\t\turl = "b"\n\n\t\ttls { }\n\t}\n}\n'
    ) == text_of(data)


def test_strings_of_ansible_are_written_as_plain_ones():
    class Marked(str):
        __slots__ = ()

        def __str__(self):
            return str.__str__(self)

    assert 'b {\n\ta = "x"\n}\n' == text_of({"b": {"a": Marked("x")}})


REFUSED = {
    "a mark that is unknown": ({"b": {"a": {"$envv": "X"}}}, "b.a: unknown mark '\\$envv'"),
    "an environment variable with a quote": (
        {"b": {"a": {"$env": 'X")'}}},
        "not a name of an env",
    ),
    "an environment variable that is no text": ({"b": {"a": {"$env": 1}}}, "not a name of an env"),
    "a reference that is an expression": ({"b": {"a": {"$ref": "x.y + 1"}}}, "not a dotted name"),
    "two expressions": ({"b": {"a": {"$expr": "1\nx = 2"}}}, "expected the end"),
    "an expression that closes the block": ({"b": {"a": {"$expr": "1 }"}}}, "expected the end"),
    "an unknown function": ({"b": {"a": {"$call": ["exec", "id"]}}}, "no function 'exec'"),
    "a block in a value": ({"b": {"a": [{"$block": {}}]}}, "a block stands in a body"),
    "an infinite number": ({"b": {"a": math.inf}}, "b.a: inf is not"),
    "not a number": ({"b": {"a": math.nan}}, "b.a: nan is not"),
    "a huge integer": ({"b": {"a": 2**64}}, "64 bits"),
    "half a surrogate pair": ({"b": {"a": "\ud800"}}, "b.a: the text holds half"),
    "bytes": ({"b": {"a": b"x"}}, "b.a: a value of the type bytes"),
    "a key that is a number": ({"b": {"a": {1: 2}}}, "the key 1"),
    "a name with a dash": ({"b": {"a-b": 1}}, "'a-b' is not a name"),
    "a label with a dash": ({"b a-b": {}}, "'a-b' is not a label"),
    "a keyword as label": ({"b true": {}}, "keyword 'true'"),
    "an attribute twice": ({"b": {"$block": [[{"a": 1}, {"a": 2}]]}}, "given twice"),
    "a body that is text": ({"b": {"$block": "x = 1"}}, "a body is a mapping"),
    "another dialect": (None, "unknown dialect"),
}


@pytest.mark.parametrize(("data", "message"), REFUSED.values(), ids=REFUSED)
def test_what_has_no_form_is_refused_by_its_place(data, message):
    with pytest.raises(DataError, match=message):
        text_of(data, "agent" if data is not None else "hcl")


def test_functions_that_the_agent_lacks_are_refused_there():
    data = {"b": {"a": {"$call": ["encoding.to_json", {}]}}}
    assert "encoding.to_json({})" in text_of(data)
    with pytest.raises(DataError, match=r"Grafana Agent has no function 'encoding\.to_json'"):
        text_of(data, "agent")


def test_deep_data_is_refused_and_no_crash():
    deep = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(DataError, match="nested deeper"):
        text_of({"b": {"a": deep}})
