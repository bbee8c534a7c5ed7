from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelauto.discovery.resource_attributes import (
    MAX_ATTRIBUTES,
    parse_resource_attributes,
)


@pytest.mark.parametrize(
    ("text", "values", "skipped"),
    [
        ("", {}, 0),
        (" , ,", {}, 0),
        ("a=1", {"a": "1"}, 0),
        ("a=1=2", {"a": "1=2"}, 0),
        (" a = 1 , b=2 ", {"a": "1", "b": "2"}, 0),
        ("a=x%2Cy%3Dz%20%25", {"a": "x,y=z %"}, 0),
        ("k%3D1=v", {"k=1": "v"}, 0),
        ("a=caf%C3%A9", {"a": "café"}, 0),
        ("a=%FF", {"a": "\N{REPLACEMENT CHARACTER}"}, 0),
        ("a=1,a=2", {"a": "2"}, 0),
        ("a=", {"a": ""}, 0),
        ("bad,a=1", {"a": "1"}, 1),
        ("=1,a=1", {"a": "1"}, 1),
        ("a=%zz,b=50%,c=3", {"c": "3"}, 2),
        (
            # from the failure cases: good entries survive the bad one
            "service.name=shop, service.version=1.2,note=a%3Db%2Cc,bad",
            {"service.name": "shop", "service.version": "1.2", "note": "a=b,c"},
            1,
        ),
    ],
)
def test_good_entries_are_decoded_and_bad_ones_counted(text, values, skipped):
    parsed = parse_resource_attributes(text)
    assert (values, skipped) == (dict(parsed.values), parsed.skipped)


def test_number_of_attributes_is_bounded():
    parsed = parse_resource_attributes(",".join(f"k{n}=v" for n in range(1000)))
    assert (len(parsed.values), parsed.skipped) == (MAX_ATTRIBUTES, 1000 - MAX_ATTRIBUTES)


@given(st.binary())
def test_any_bytes_are_parsed_and_come_out_encodable(content):
    parsed = parse_resource_attributes(content.decode("utf-8", "surrogateescape"))
    for key, value in parsed.values.items():
        assert (key + value).encode("utf-8")
