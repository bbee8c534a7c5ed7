"""Keys are known by their fingerprint, whatever form the file has."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
from ansible_collections.otelauto.fleet.plugins.plugin_utils.openpgp import (
    KeyFileError,
    fingerprints,
)
from hypothesis import given
from hypothesis import strategies as st

BODY = b"\x04" + bytes(range(60))
FINGERPRINT = hashlib.sha1(b"\x99" + len(BODY).to_bytes(2, "big") + BODY).hexdigest().upper()
#: The same key packet with each way of telling its length, and other packets around it.
FORMS = {
    "a new header of one byte": bytes([0xC6, len(BODY)]) + BODY,
    "a new header of five bytes": b"\xc6\xff" + len(BODY).to_bytes(4, "big") + BODY,
    "an old header of one byte": bytes([0x98, len(BODY)]) + BODY,
    "an old header of two bytes": b"\x99" + len(BODY).to_bytes(2, "big") + BODY,
    "between others": bytes([0xCD, 3]) + b"uid" + bytes([0xC6, len(BODY)]) + BODY + b"\xce\x01x",
}


def encoded(content):
    return base64.b64encode(content).decode()


def armored(content):
    lines = base64.encodebytes(content).decode()
    return (
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: x\n\n"
        f"{lines}=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n"
    ).encode()


@pytest.mark.parametrize("content", FORMS.values(), ids=FORMS)
def test_the_fingerprint_of_every_form(content):
    assert [FINGERPRINT] == fingerprints(encoded(content))
    assert [FINGERPRINT] == fingerprints(encoded(armored(content)))


def test_every_primary_key_of_the_file_counts():
    """A file with a second, unknown key must not pass for the first one's sake."""
    other = b"\x04" + bytes(60)
    content = armored(FORMS["an old header of two bytes"]) + armored(b"\x98\x3d" + other)
    assert 2 == len(set(fingerprints(encoded(content))))


def test_the_distributions_own_keys_have_their_known_fingerprint():
    path = Path("/usr/share/keyrings/debian-archive-bookworm-automatic.gpg")
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    # As the Debian project publishes it.
    assert ["B8B80B5B623EAB6AD8775C45B7C5D7D6350947F8"] == fingerprints(encoded(path.read_bytes()))


@pytest.mark.parametrize(
    "content",
    [b"", b"not a key", b"\xc6", b"\xc6\x50short", b"\xcd\x03uid", b"\xc6\x02\x03x", b"\xff"],
)
def test_what_is_no_key_is_refused(content):
    with pytest.raises(KeyFileError):
        fingerprints(encoded(content))


@given(st.binary(max_size=200))
def test_any_bytes_are_keys_or_an_error_of_its_own(content):
    try:
        found = fingerprints(encoded(content))
    except KeyFileError:
        return
    assert all(len(one) in (40, 64) for one in found)
