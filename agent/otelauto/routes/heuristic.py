"""What a segment of a path looks like: an endpoint, a name or an identifier.

Only the judgement of single segments by their letters lives here; it has no memory, so the same
path is judged the same on every host and after every restart. What needs evidence over many paths
is in learn.py.

Three kinds:

- ENDPOINT: certainly part of the program (`api`, `v10`, `.well-known`, `graphql`): always kept;
- NAME: a word, which may be an endpoint (`/api/kpi`) or a value (`/shop/shirt`): evidence
  decides;
- IDENTIFIER: numbers, UUIDs, ULIDs, hashes, tokens, e-mail and IP addresses, dates, slugs, files
  with a hash in their name, anything with characters that programmers do not put into endpoints,
  and words under a collection (`/user/alice`).
"""

from __future__ import annotations

import re
from enum import Enum
from itertools import pairwise
from urllib.parse import unquote_to_bytes

from otelauto.routes._lexicon import (
    API_ROOTS,
    COLLECTIONS,
    ENDPOINTS,
    HANDLER_EXTENSIONS,
    HEX_WORDS,
    RARE_FOLLOWERS,
    TERMS,
)

__all__ = ["Kind", "classify", "is_api_root"]

#: Characters of the longest segment that is still taken for a name.
MAX_NAME = 40
#: Words between separators of the longest name; a slug has more.
MAX_WORDS = 5
#: Characters of the longest word without a separator.
MAX_WORD = 24

_VERSION = re.compile(
    r"v\d{1,3}(?:\.\d{1,3}){0,2}(?:(?:a|b|alpha|beta|rc)\d{0,2})?", re.IGNORECASE
)
_BARE_VERSION = re.compile(rb"\d\.\d{1,2}")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_PLAIN = re.compile(r"[\w.:\-]+")
_SEPARATOR = re.compile(r"[-_.:]+")
_HUMP = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^A-Za-z]+")
_HEX = re.compile(r"[0-9a-f]+", re.IGNORECASE)
_CASE_CHANGE = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[a-z])")
_ERROR_PAGE = re.compile(r"[45]\d\d\.html?")
_ONE_OUTER_DIGIT = re.compile(r"\d[^\W\d]{2,}|[^\W\d]+\d")
_ONE_INNER_DIGIT = re.compile(r"[^\W\d]{1,2}\d[^\W\d]{1,2}")
_VOWELS = frozenset("aeiouy")
#: What frameworks put before a word to mark it as theirs: `_search`, `.well-known`, `$metadata`.
_MARKS = "._$"
#: Segments after which a number with a point is a version: `/api/2.0/jobs`.
_VERSIONED = frozenset(word.encode() for word in API_ROOTS)
#: The request target of `OPTIONS *` (RFC 9112 section 3.2.4).
_ASTERISK_FORM = "*"


class Kind(Enum):
    """What a segment is."""

    ENDPOINT = "endpoint"
    NAME = "name"
    IDENTIFIER = "identifier"


def classify(segment: bytes, parent: bytes | None = None) -> Kind:
    """The kind of a segment.

    Args:
        segment: as it was sent; it is judged by what its percent-encoding means.
        parent: the segment before it; None at the root.
    """
    text = _decoded(segment)
    if text is None:
        return Kind.IDENTIFIER
    if _is_endpoint(text) or (parent is None and text == _ASTERISK_FORM):
        return Kind.ENDPOINT
    if _BARE_VERSION.fullmatch(segment) and parent is not None and parent.lower() in _VERSIONED:
        return Kind.ENDPOINT
    marked = text[0] in _MARKS
    if _is_identifier(text.lstrip(_MARKS) if marked else text):
        return Kind.IDENTIFIER
    if parent is None or marked or _is_handler(text):
        return Kind.NAME
    return Kind.IDENTIFIER if _is_collection(parent) else Kind.NAME


def is_api_root(segment: bytes) -> bool:
    """Whether many different endpoints are to be expected under this segment."""
    text = _decoded(segment)
    return text is not None and (text.lower() in API_ROOTS or _VERSION.fullmatch(text) is not None)


def _is_endpoint(text: str) -> bool:
    """Whether a segment is a word that programs are made of."""
    lower = text.lower()
    return (
        lower in TERMS
        or lower in {"-", "@me", ".well-known"}
        or lower.lstrip(_MARKS) in ENDPOINTS
        or _VERSION.fullmatch(text) is not None
        or (text.isalpha() and _is_collection_noun(lower))
    )


def _decoded(segment: bytes) -> str | None:
    """The text that a segment means; None if it has none that can be shown."""
    if b"%" in segment:
        if _BAD_ESCAPE.search(segment):
            return None
        segment = unquote_to_bytes(segment)
    try:
        text = segment.decode()
    except UnicodeDecodeError:
        return None
    if not text.isprintable() or "/" in text:
        return None
    return text or None


def _is_collection(segment: bytes) -> bool:
    """Whether a segment names a collection, by its last word: `users`, `blog-posts`, `getUser`."""
    text = _decoded(segment)
    if text is None or _is_identifier(text):
        return False
    word = _SEPARATOR.split(text)[-1]
    return word.isalpha() and _is_collection_noun(_HUMP.findall(word)[-1].lower())


def _is_collection_noun(lower: str) -> bool:
    return not COLLECTIONS.isdisjoint(_singulars(lower))


def _singulars(word: str) -> tuple[str, ...]:
    if word.endswith("ies"):
        return (word, word[:-3] + "y", word[:-1])
    if word.endswith("es"):
        return (word, word[:-1], word[:-2])
    if word.endswith("s"):
        return (word, word[:-1])
    return (word,)


def _is_handler(text: str) -> bool:
    stem, _, extension = text.lower().rpartition(".")
    return bool(stem) and extension in HANDLER_EXTENSIONS


def _is_identifier(text: str) -> bool:
    """Whether no word or words can be read in a segment."""
    if _ERROR_PAGE.fullmatch(text.lower()):
        return False
    if len(text) > MAX_NAME or text.count(":") > 1 or text[:1] == ":" or not _is_plain(text):
        return True
    pieces = [piece for piece in _SEPARATOR.split(text) if piece]
    if len(pieces) > MAX_WORDS or all(piece.isdigit() for piece in pieces):
        return True
    return any(_is_identifier_word(piece) for piece in pieces)


def _is_plain(text: str) -> bool:
    """Only letters of any script with their marks, digits, and the separators."""
    if text.isascii():
        return _PLAIN.fullmatch(text) is not None
    from unicodedata import category  # noqa: PLC0415 - few services need its tables in memory

    return all(char in "-_.:" or category(char)[0] in "LMN" for char in text)


def _is_identifier_word(word: str) -> bool:
    """Whether a run of letters and digits is no word."""
    lower = word.lower()
    if lower in ENDPOINTS or lower in TERMS or _VERSION.fullmatch(word):
        return False
    if len(word) > MAX_WORD or _has_digit(word):
        return len(word) > MAX_WORD or not _is_word_with_digit(word)
    return word.isascii() and _are_random_letters(word)


def _has_digit(word: str) -> bool:
    return any(char.isdigit() for char in word)


def _are_random_letters(word: str) -> bool:
    if len(word) >= 7 and _HEX.fullmatch(word):
        return word.lower() not in HEX_WORDS
    return (
        (len(word) >= 16 and word.isupper())
        or (len(word) >= 10 and _changes_case_often(word))
        or any(_is_gibberish(hump.lower()) for hump in _HUMP.findall(word))
    )


def _changes_case_often(word: str) -> bool:
    return len(_CASE_CHANGE.findall(word)) >= 0.4 * len(word)


def _is_word_with_digit(word: str) -> bool:
    """One digit, in the place where words have it: `step3`, `3scale`, `x2y`."""
    if word.isdigit():
        return len(word) == 1
    if len(word) >= 7 and _HEX.fullmatch(word):
        return False
    if len(word) <= 12 and _ONE_OUTER_DIGIT.fullmatch(word):
        return not _changes_case_often(word)
    return _ONE_INNER_DIGIT.fullmatch(word) is not None


def _is_gibberish(lower: str) -> bool:
    """Whether letters are in an order that no language in the Latin script uses."""
    if len(lower) < 7:
        return False
    text = lower.replace("ij", "y")  # one letter in Dutch
    rare = sum(b in RARE_FOLLOWERS.get(a, "") for a, b in pairwise(text))
    vowels = sum(char in _VOWELS for char in text)
    return rare >= max(2, len(text) / 4) or (rare >= 1 and vowels * 6 <= len(text))
