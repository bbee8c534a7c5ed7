"""Secrets in a query are replaced, and nothing else is."""

from __future__ import annotations

import pytest

from otelauto.spans.redact import redacted

NAMES = frozenset({"token", "sig"})


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("a=1&token=abc&b=2", "a=1&token=REDACTED&b=2"),
        ("TOKEN=abc", "TOKEN=REDACTED"),
        ("to%6ben=abc", "to%6ben=REDACTED"),
        ("a=1;sig=x;b", "a=1;sig=REDACTED;b"),
        ("sig=a=b", "sig=REDACTED"),
        ("token", "token"),
        ("token=", "token=REDACTED"),
        ("tokens=1&xsig=2", "tokens=1&xsig=2"),
        ("token=1&token=2", "token=REDACTED&token=REDACTED"),
        ("%zz=1&&=", "%zz=1&&="),
        ("", ""),
    ],
)
def test_the_values_of_named_parameters_are_replaced(query, expected):
    assert expected == redacted(query, NAMES)


def test_nothing_is_replaced_where_nothing_is_named():
    assert "token=abc" == redacted("token=abc", frozenset())
