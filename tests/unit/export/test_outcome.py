"""Retry-After, secrets in error texts, and how often a cause is logged."""

from __future__ import annotations

import email.utils

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from otelauto.export._outcome import retry_after_seconds, root_cause, scrubbed

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        (" 7 ", 7.0),
        ("86400", 3600.0),
        ("9" * 5000, 3600.0),
        (email.utils.formatdate(NOW + 30, usegmt=True), 30.0),
        (email.utils.formatdate(NOW - 30, usegmt=True), 0.0),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("٣", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value, seconds):
    assert retry_after_seconds(value, now_unix=NOW) == seconds


@given(st.text(max_size=60))
def test_no_retry_after_raises(value):
    seconds = retry_after_seconds(value, now_unix=NOW)
    assert seconds is None or 0 <= seconds <= 3600


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://u:p@h:4318/v1/metrics?t=1#x", "https://h:4318/v1/metrics"),
        ("see http://u:p@a/ and http://b/?k=v now", "see http://a/ and http://b/ now"),
        ("two\nlines\r\n", "two lines"),
        ("x" * 500, "x" * 200),
        ("http://h/plain", "http://h/plain"),
        ("why? because", "why? because"),
    ],
)
def test_scrubbed_text_has_no_credentials_and_one_line(text, expected):
    assert scrubbed(text) == expected


def test_the_root_cause_of_a_failed_request_has_no_url():
    with pytest.raises(requests.ConnectionError) as caught:
        requests.post("http://127.0.0.1:9/v1/metrics?token=s3cret", timeout=1)
    assert "s3cret" in str(caught.value)
    assert root_cause(caught.value) == "Connection refused"
