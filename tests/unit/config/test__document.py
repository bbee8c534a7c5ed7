from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelauto.config._document import ListNode, MapNode, Scalar, parse_document, read_text
from otelauto.errors import ConfigError


def fault(text):
    with pytest.raises(ConfigError) as caught:
        parse_document(text, file="o.yml")
    return caught.value.message


def test_scalars_keep_their_text_and_line():
    root = parse_document("a: no\nb:\n  - 010\n  - '1:30'\n", file="o.yml")
    assert isinstance(root, MapNode)
    (_, a), (key, b) = root.pairs
    assert Scalar("no", plain=True, line=1) == a
    assert key.line == 2
    assert isinstance(b, ListNode)
    assert [(s.text, s.plain, s.line) for s in b.items] == [("010", True, 3), ("1:30", False, 4)]


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "---\n", "~", "null"])
def test_a_document_without_content_is_none(text):
    assert parse_document(text, file="o.yml") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:\n\tb: 1\n", "o.yml:2: a tab"),
        ("\ta: 1\n", "o.yml:1: a tab"),
        ("a: [1\nb: 2\n", "o.yml:2: not valid YAML"),
        ("a: {x: 1}\n--- \nb: 1\n", "o.yml:2: a second document"),
        ("a: !!python/object/apply:os.system [x]\n", "o.yml:1: tags"),
        ("a: !x y\n", "o.yml:1: tags"),
        ("a: *missing\n", 'o.yml:1: "*missing" refers to nothing'),
        ("a: &a\n  b: *a\n", 'o.yml:2: "*a" contains itself'),
        ("? [a]\n: b\n", "o.yml:1: a key must be one word"),
        ("a: \x07\n", "o.yml:1: a control character (code 0x07)"),
        ("a: 1\n<<: 2\n", 'o.yml:2: "<<" needs a mapping'),
        ("p: [/a/{id}]\n", "put text with braces"),
        ("[" * 100, "o.yml:1: nested more than"),
    ],
)
def test_a_fault_names_its_line(text, expected):
    assert expected in fault(text)


def test_a_fault_of_syntax_never_repeats_the_line():
    assert "s3cret" not in fault("a: 'x\npassword: s3cret: x\n b: [\n")


def test_aliases_cannot_multiply():
    """The file that grows tenfold with each line is refused before it grows."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    assert "aliases included" in fault("\n".join(lines))


def test_aliases_cannot_nest_without_end():
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 100)]
    assert "nested more than" in fault("\n".join(lines))


def test_merge_keys_give_way_to_the_mappings_own_keys():
    root = parse_document("x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  b: 3\n", file="o.yml")
    assert isinstance(root, MapNode)
    merged = root.pairs[1][1]
    assert isinstance(merged, MapNode)
    assert {key.text: value.text for key, value in merged.pairs} == {"a": "1", "b": "3"}


def test_repeated_keys_are_told_with_both_lines():
    root = parse_document("a: 1\nb: 2\na: 3\n", file="o.yml")
    assert isinstance(root, MapNode)
    assert root.repeated == (("a", 1, 3),)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=80))
def test_any_text_is_a_tree_or_a_config_error(text):
    message = "o.yml:"
    try:
        parse_document(text, file="o.yml")
    except ConfigError as error:
        message = error.message
    assert message.startswith("o.yml:")


@given(st.text(alphabet=" \n\t-:[]{},&*!|>'\"%#?~a<0\r\ufeff", max_size=60))
def test_any_text_of_yamls_own_characters_is_a_tree_or_a_config_error(text):
    message = "o.yml:"
    try:
        parse_document(text, file="o.yml")
    except ConfigError as error:
        message = error.message
    assert message.startswith("o.yml:")


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path):
    path = tmp_path / "o.yml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    root = parse_document(read_text(path), file="o.yml")
    assert isinstance(root, MapNode)
    assert [(k.text, v.text, k.line) for k, v in root.pairs] == [("a", "1", 1), ("b", "2", 2)]


def test_what_is_not_utf8_is_told_with_its_line(tmp_path):
    path = tmp_path / "o.yml"
    path.write_bytes(b"a: 1\nb: caf\xe9\n")
    with pytest.raises(ConfigError, match=r"o\.yml:2: not UTF-8"):
        read_text(path)


def test_a_missing_file_and_a_directory_are_config_errors(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        read_text(tmp_path / "missing.yml")
    with pytest.raises(ConfigError, match="is a directory"):
        read_text(tmp_path)


def test_a_refused_open_is_a_config_error(monkeypatch, tmp_path):
    """As for a file of mode 000, which root could read."""

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "open", refuse)
    with pytest.raises(ConfigError, match=r"o\.yml: cannot read .* permission denied"):
        read_text(tmp_path / "o.yml")


def test_a_hostile_file_name_stays_on_one_line(tmp_path):
    with pytest.raises(ConfigError) as caught:
        read_text(tmp_path / "a\nb\udcff.yml")
    assert "a?b?.yml: cannot read" in caught.value.message


def test_an_endless_file_is_refused(tmp_path):
    path = tmp_path / "o.yml"
    path.write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(ConfigError, match="larger than"):
        read_text(path)
