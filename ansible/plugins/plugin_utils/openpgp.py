# SPDX-License-Identifier: Apache-2.0
"""Fingerprints of the primary keys in an OpenPGP key file, as RFC 4880 and RFC 9580 define them.

Package repositories are trusted by fingerprint; hosts need not have GnuPG for that.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

__all__ = ["KeyFileError", "fingerprints"]

_ARMOR = re.compile(
    r"-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(.*?)\r?\n?-----END PGP PUBLIC KEY BLOCK-----",
    re.DOTALL,
)
_PUBLIC_KEY = 6


class KeyFileError(ValueError):
    """The file is no OpenPGP public key."""


def fingerprints(base64_text: str) -> list[str]:
    """The fingerprints of the primary keys, in capital hexadecimal digits.

    Args:
        base64_text: the file's bytes, armored or binary, in base64 (as ``slurp`` gives them).

    Raises:
        KeyFileError: no public key is in it, or it is cut off.
    """
    try:
        content = base64.b64decode(base64_text, validate=False)
    except (binascii.Error, ValueError):
        raise KeyFileError("the key file is not base64") from None
    found = [_fingerprint(body) for block in _blocks(content) for body in _keys(block)]
    if not found:
        raise KeyFileError("the file holds no OpenPGP public key")
    return found


def _blocks(content: bytes) -> list[bytes]:
    """The binary packets: the file itself, or what its armors hold."""
    armored = _ARMOR.findall(content.decode("latin-1"))
    if not armored:
        return [content]
    found = []
    for block in armored:
        lines = re.split(r"\r?\n", block)
        # Headers end at an empty line; the checksum begins with "=".
        start = lines.index("") + 1 if "" in lines else 0
        inside = "".join(line.strip() for line in lines[start:] if not line.startswith("="))
        try:
            found.append(base64.b64decode(inside, validate=True))
        except binascii.Error:
            raise KeyFileError("the armor of the key file is damaged") from None
    return found


def _keys(content: bytes) -> list[bytes]:
    """The bodies of the public-key packets (not of subkeys)."""
    found, at = [], 0
    while at < len(content):
        tag, at, length = _header(content, at)
        if at + length > len(content):
            raise KeyFileError("the key file is cut off")
        if tag == _PUBLIC_KEY:
            found.append(content[at : at + length])
        at += length
    return found


def _header(content: bytes, at: int) -> tuple[int, int, int]:
    """Tag, place of the body and its length."""
    first = content[at]
    if not first & 0x80:
        raise KeyFileError("the file is no OpenPGP key")
    try:
        if not first & 0x40:
            width = (1, 2, 4)[first & 3]
            length = int.from_bytes(content[at + 1 : at + 1 + width], "big")
            return (first >> 2) & 0xF, at + 1 + width, length
        size = content[at + 1]
        if size < 192:
            return first & 0x3F, at + 2, size
        if size < 224:
            return first & 0x3F, at + 3, ((size - 192) << 8) + content[at + 2] + 192
        if size == 255:
            return first & 0x3F, at + 6, int.from_bytes(content[at + 2 : at + 6], "big")
    except IndexError:
        pass
    raise KeyFileError("the key file has a packet that no key has, or is cut off")


def _fingerprint(body: bytes) -> str:
    version = body[0] if body else 0
    if version == 4:
        digest = hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body, usedforsecurity=False)
    elif version == 6:
        digest = hashlib.sha256(b"\x9b" + len(body).to_bytes(4, "big") + body)
    else:
        raise KeyFileError(f"a key of version {version} is not supported")
    return digest.hexdigest().upper()
