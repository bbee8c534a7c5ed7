from __future__ import annotations

import pytest

from otelauto.config._raw import printable_text, scalar
from otelauto.options import BadValueError


def test_one_value_is_its_text():
    assert scalar(" a\n") == " a\n"
    assert printable_text("Ä {id}") == "Ä {id}"


@pytest.mark.parametrize(("raw", "word"), [(("a",), "list"), ({"a": "b"}, "mapping")])
def test_lists_and_mappings_are_not_one_value(raw, word):
    with pytest.raises(BadValueError, match=f"not a {word}"):
        scalar(raw)


@pytest.mark.parametrize("text", ["a\nb", "\x1b[0m", "\udcff", "\u202e"])
def test_characters_that_could_forge_a_line_or_a_terminal_are_refused(text):
    with pytest.raises(BadValueError, match="control character"):
        printable_text(text)
