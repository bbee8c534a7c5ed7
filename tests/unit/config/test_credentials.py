from __future__ import annotations

import pytest

from otelauto.config.credentials import scrape_password
from otelauto.config.exposition import BasicAuth
from otelauto.config.values import Secret
from otelauto.errors import ConfigError


def test_the_first_line_of_the_file_is_the_password(tmp_path):
    path = tmp_path / "password"
    path.write_text("s3cret: x\r\nsecond\n")
    found = scrape_password(BasicAuth(username="u", password_file=str(path)))
    assert found == Secret("s3cret: x")


def test_without_a_file_the_given_password_counts():
    assert scrape_password(BasicAuth(password=Secret("p"))) == Secret("p")
    assert not scrape_password(BasicAuth())


@pytest.mark.parametrize("content", [None, b"", b"\nsecond", b"s3cret\xff"])
def test_a_file_without_a_password_is_a_config_error_that_shows_nothing_of_it(tmp_path, content):
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="password_file: ") as caught:
        scrape_password(BasicAuth(username="u", password_file=str(path)))
    assert "s3cret" not in str(caught.value)
