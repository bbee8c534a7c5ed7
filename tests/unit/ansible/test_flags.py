"""Flags keep their meaning, and addresses of every family are understood."""

from __future__ import annotations

import pytest
from ansible_collections.otelauto.fleet.plugins.plugin_utils.flags import (
    FlagError,
    listen_address,
    render_flags,
)


def test_types_keep_their_meaning():
    """A boolean is neither dropped nor inverted, an integer is not dropped."""
    flags = {"a": True, "b": False, "c.d-e": 3, "f": "x:1", "g": ["1", "2"], "h": None, "i": ""}
    assert [
        "--a=true",
        "--b=false",
        "--c.d-e=3",
        "--f=x:1",
        "--g=1",
        "--g=2",
        "--i=",
    ] == render_flags(flags)


@pytest.mark.parametrize("value", ["a b", 'a"b', "$HOME", "`id`", "a\nb", "50%", "a\\b", {}])
def test_what_systemd_would_split_or_expand_is_refused_by_name(value):
    with pytest.raises(FlagError, match="the flag x"):
        render_flags({"x": value})


@pytest.mark.parametrize("name", ["--x", "X", "x y", "x=", "", 1])
def test_a_bad_name_is_refused(name):
    with pytest.raises(FlagError, match="not a flag's name"):
        render_flags({name: 1})


@pytest.mark.parametrize(
    ("text", "host", "port", "dial"),
    [
        ("127.0.0.1:12345", "127.0.0.1", 12345, "127.0.0.1:12345"),
        ("[::1]:12345", "::1", 12345, "[::1]:12345"),
        ("localhost:1", "localhost", 1, "localhost:1"),
        (":80", "", 80, "127.0.0.1:80"),
        ("0.0.0.0:80", "0.0.0.0", 80, "127.0.0.1:80"),
        ("[::]:80", "::", 80, "[::1]:80"),
    ],
)
def test_addresses(text, host, port, dial):
    assert {"host": host, "port": port, "dial": dial} == listen_address(text)


@pytest.mark.parametrize(
    "text", ["", "localhost", "::1:80", "h:0", "h:65536", "h:x", "a b:1", "[x:1"]
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(FlagError, match="is not an address"):
        listen_address(text)
