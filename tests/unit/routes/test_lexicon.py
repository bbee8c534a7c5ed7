"""The word lists: what their users rely on."""

from __future__ import annotations

import itertools

import pytest

from otelauto.routes._lexicon import (
    API_ROOTS,
    COLLECTIONS,
    ENDPOINTS,
    GUARDED,
    GUARDED_AT_ROOT,
    HANDLER_EXTENSIONS,
    HEX_WORDS,
    RARE_FOLLOWERS,
    TERMS,
)


@pytest.mark.parametrize(
    "words", [API_ROOTS, COLLECTIONS, ENDPOINTS, HANDLER_EXTENSIONS, HEX_WORDS, TERMS]
)
def test_every_word_is_in_lower_case_and_one_segment(words):
    assert [] == [word for word in words if word != word.lower() or "/" in word or not word]


def test_terms_are_words_with_digits():
    assert [] == [word for word in TERMS if not any(c.isdigit() for c in word) and word != "oauth"]


def test_hex_words_are_words_of_hex_digits():
    assert [] == [word for word in HEX_WORDS if not set(word) <= set("abcdef")]


def test_no_word_of_the_lists_is_taken_for_random_letters():
    alarms = [
        word
        for word in ENDPOINTS | COLLECTIONS
        if sum(b in RARE_FOLLOWERS.get(a, "") for a, b in itertools.pairwise(word)) > 1
    ]
    assert [] == alarms


@pytest.mark.parametrize("words", [GUARDED, GUARDED_AT_ROOT])
def test_guarded_words_are_few_and_different(words):
    """Each of them costs a step for every route that ends in a placeholder."""
    assert len(set(words)) == len(words) <= 32
