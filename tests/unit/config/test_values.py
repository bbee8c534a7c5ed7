from __future__ import annotations

import copy

import pytest

from otelauto.config.values import Ports, Secret, Url


def test_a_secret_shows_nowhere_and_is_revealed_on_demand():
    secret = Secret("pw")
    shown = f"{secret} {secret!r} {[secret]} {(('k', secret),)}"
    assert "pw" not in shown
    assert secret.reveal() == "pw"


def test_secrets_are_compared_by_value_so_that_a_reload_sees_a_new_token():
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("http://a") != Url("http://a")
    assert len({Secret("a"), copy.copy(Secret("a"))}) == 1
    assert not Secret("")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://localhost:4318", "http://localhost:4318"),
        ("https://u:pw@h/otlp", "https://***@h/otlp"),
        ("https://h/x?token=pw#pw", "https://h/x?***"),
        ("https://pw@h:1/", "https://***@h:1/"),
    ],
)
def test_a_url_shows_neither_user_nor_query(url, shown):
    assert shown == str(Url(url))
    assert "pw" not in repr(Url(url))
    assert url == Url(url).reveal()


def test_another_path_keeps_the_rest_of_a_url():
    assert Url("https://u:pw@h:1/a?x").with_path("/b").reveal() == "https://u:pw@h:1/b?x"


def test_ports_contain_their_ranges_and_show_as_they_are_written():
    ports = Ports(((80, 80), (8000, 8999)))
    assert [p in ports for p in (80, 81, 8000, 8999, 9000)] == [True, False, True, True, False]
    assert str(ports) == "80,8000-8999"
    assert bool(ports)
    assert not Ports()
    assert list(ports) == [(80, 80), (8000, 8999)]
