"""`otelauto top` reads a page over HTTP, with what the configuration says of it."""

from __future__ import annotations

import io
import json

import pytest

from otelauto.errors import ConfigError, OtelautoError
from otelauto.export._page_server import Access, Answer, PageServer
from otelauto.top.command import Source, View, source, top


def page(count):
    labels = 'service_name="cart",http_request_method="GET",http_route="/a"'
    name = "http_server_request_duration_seconds"
    return (
        f"# TYPE {name} histogram\n"
        f'{name}_bucket{{{labels},le="1.0"}} {count}\n'
        f'{name}_bucket{{{labels},le="+Inf"}} {count}\n'
        f"{name}_count{{{labels}}} {count}\n"
    )


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def served():
    """An endpoint with a password whose count grows by 10 at each read."""
    reads = []

    def answer(_):
        reads.append(1)
        return Answer(200, "text/plain", [page(10 * len(reads)).encode()])

    server = PageServer(
        "127.0.0.1", 0, pages={"/m": answer}, access=Access(username="me", password="secret")
    )
    server.start()
    yield server
    server.stop()


def configured(tmp_path, port):
    path = tmp_path / "o.yml"
    path.write_text(
        f"prometheus_export:\n  port: {port}\n  path: /m\n"
        "  basic_auth: {username: me, password: secret}\n"
    )
    return source(path, {}, "")


def shown(page, view=None, *, out=None, once=True, machine=False, wait=lambda _: None):
    out = out or io.StringIO()
    code = top(
        page, view or View(), once=once, machine=machine, interval_seconds=1, out=out, wait=wait
    )
    return code, out.getvalue()


def test_the_page_of_the_configuration_is_read_with_its_password(served, tmp_path):
    code, text = shown(configured(tmp_path, served.port), machine=True)
    [line] = json.loads(text)
    assert (0, "cart", "/a", 20) == (code, line["service"], line["route"], line["requests"])
    assert line["rate"] > 0


def test_one_table_is_plain_text_where_there_is_no_terminal(served, tmp_path):
    _, text = shown(configured(tmp_path, served.port))
    assert "\x1b" not in text
    assert ["SERVICE", "cart"] == [line.split()[0] for line in text.splitlines()]


def test_a_terminal_is_cleared_before_each_table_until_the_user_stops(served, tmp_path):
    waits = []

    def wait(seconds):
        waits.append(seconds)
        if len(waits) > 3:
            raise KeyboardInterrupt

    code, text = shown(configured(tmp_path, served.port), out=Terminal(), once=False, wait=wait)
    assert (0, 3) == (code, text.count("\x1b[H\x1b[J"))
    bars = [one for one in text.splitlines()[-1] if one in "▁▂▃▄▅▆▇█"]
    assert 3 == len(bars), "as many as there were tables"


def test_services_are_shown_on_demand(served, tmp_path):
    _, text = shown(configured(tmp_path, served.port), View(services=True), machine=True)
    assert [("cart", "")] == [(one["service"], one["route"]) for one in json.loads(text)]


def test_a_page_that_cannot_be_read_is_told_with_what_to_do(served, tmp_path):
    url = f"http://127.0.0.1:{served.port}/m"
    with pytest.raises(OtelautoError, match=r"Unauthorized.*is the agent running"):
        shown(source(None, {}, url))
    served.stop()
    with pytest.raises(OtelautoError, match="refused"):
        shown(Source(url))


def test_a_page_that_fails_later_is_told_and_read_again(tmp_path):
    tallies = iter([{}, OtelautoError("gone for now"), {}])

    class Flaky:
        def read(self):
            found = next(tallies)
            if isinstance(found, Exception):
                raise found
            return found

    waits = []

    def wait(_):
        waits.append(1)
        if len(waits) == 3:
            raise KeyboardInterrupt

    code, text = shown(Flaky(), once=False, wait=wait)
    assert 0 == code
    assert text.startswith("gone for now\n")
    assert text.endswith("(no requests yet)\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("port: 9400", "http://127.0.0.1:9400/metrics"),
     ("port: 9400\n  listen_address: '::'", "http://[::1]:9400/metrics"),
     ("port: 9400\n  listen_address: 0.0.0.0", "http://127.0.0.1:9400/metrics")],
)  # fmt: skip
def test_the_address_is_one_that_this_host_reaches(tmp_path, text, expected):
    path = tmp_path / "o.yml"
    path.write_text(f"prometheus_export:\n  {text}\n")
    assert expected == source(path, {}, "").url


@pytest.mark.parametrize("url", ["", "ftp://x/metrics"])
def test_no_page_is_an_error_of_the_configuration(url):
    with pytest.raises(ConfigError, match="--url"):
        source(None, {}, url)
