"""The judgement of segments: endpoints are kept, identifiers fold, words are left to evidence."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otelauto.routes.heuristic import Kind, classify, is_api_root
from otelauto.routes.pattern import split_path


def judged(path):
    """The path with {id} for identifiers."""
    segments = split_path(path.encode())
    parents = (None, *segments)
    kinds = [classify(segment, parent) for segment, parent in zip(segments, parents, strict=False)]
    parts = [
        "{id}" if kind is Kind.IDENTIFIER else segment.decode()
        for segment, kind in zip(segments, kinds, strict=True)
    ]
    return "/" + "/".join(parts)


@pytest.mark.parametrize(
    "path",
    [
        "/graphql",
        "/rpc",
        "/jsonrpc",
        "/ws",
        "/http",
        "/login.php",
        "/index.html",
        "/404.html",
        "/app.js",
        "/bundle.min.js",
        "/oauth2/token",
        "/oauth2/token/introspect",
        "/api/v10/users",
        "/v1.2/users",
        "/api/2.0/users",
        "/api/v1beta1/nodes",
        "/wp-admin/admin-ajax.php",
        "/wp-json/wp/v2/posts",
        "/.well-known/openid-configuration",
        "/.well-known/acme-challenge",
        "/_search",
        "/_cat/indices",
        "/_bulk",
        "/$metadata",
        "/-/issues",
        "/api/hello.world",
        "/api/chat.postMessage",
        "/api/getUserProfile",
        "/api/getURLForID",
        "/XMLHttpRequest",
        "/s/abcd/x",
        "/zoek/fiets",
        "/rechtschreibung/szczegoly/wszystkie",
        "/caf%C3%A9/über/日本",
        "/%E6%97%A5%E6%9C%AC",
        "/हिन्दी",
        "/k8s/i18n/s3/ipv4/ed25519/sha256/log4j/a11y/2fa/base64",
        "/mysqldump/kubectl/postgresql/tcpdump/mqttbroker/xmlrpc.php",
        "/actuator/health/liveness",
        "/swagger-ui/index.html",
        "/users/me",
        "/users/@me",
        "/users/login",
        "/users/search",
        "/orders/pending",
        "/pages/index.php",
        "/step3/3ds",
        "/checkout/address",
    ],
)
def test_endpoints_and_words_are_kept(path):
    assert path == judged(path)


@pytest.mark.parametrize(
    "acronym",
    [
        "kpi",
        "pdf",
        "csv",
        "xml",
        "jwt",
        "mfa",
        "otp",
        "vpn",
        "dns",
        "nfs",
        "vm",
        "gps",
        "cdn",
        "sku",
        "tls",
    ],
)
def test_acronyms_are_kept(acronym):
    assert f"/api/{acronym}" == judged(f"/api/{acronym}")


@pytest.mark.parametrize(
    "identifier",
    [
        "0",
        "42",
        "-7",
        "1.5",
        "20230131",
        "2023-01-31",
        "2023-01-31T10:00",
        "7f9c24e8-3b1a-4a0e-9c52-0a1b2c3d4e5f",
        "7F9C24E8-3B1A-4A0E-9C52-0A1B2C3D4E5F",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "cafebabe",
        "deadbeef",
        "DEADBEEF",
        "4f3a9c1b",
        "4f3a9c1",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "0x1f",
        "aGVsbG8gd29ybGQ",
        "aGVsbG8gd29ybGQ=",
        "aGVsbGhlbGxvaGVs",
        "V1StGXR8_Z5jdHi6B-myT",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        "me@example.com",
        "me%40example.com",
        "10.0.0.1",
        "fe80::1",
        "00:1b:44:11:3a:b7",
        "user42",
        "order-1234",
        "ORD-2023-0001",
        "main.4f3a9c1b.js",
        "invoice-1234.pdf",
        "how-to-make-a-good-cake",
        "qzxwvtkp",
        "Products(42)",
        "cart;jsessionid=1A530637289A03B07199A44E8D531427",
        "~alice",
        "@alice",
        "{id}",
        ":id",
        "*",
        "..",
        "%2e%2e",
        "%FF",
        "%zz",
        "%00",
        "a%2Fb",
        "a%20b",
        "x" * 41,
        "v123456",
        "<script>",
    ],
)
def test_identifiers_fold(identifier):
    assert "/thing/{id}" == judged(f"/thing/{identifier}")


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/user/alice", "/user/{id}"),
        ("/users/bob/posts/hello-world", "/users/{id}/posts/{id}"),
        ("/repos/octocat/issues", "/repos/{id}/issues"),
        ("/categories/garden", "/categories/{id}"),
        ("/blog-posts/hello", "/blog-posts/{id}"),
        ("/api/getUser/alice", "/api/getUser/{id}"),
        ("/commit/cafebabe", "/commit/{id}"),
        ("/files/deadbeef", "/files/{id}"),
        ("/files/report.pdf", "/files/{id}"),
    ],
)
def test_words_under_a_collection_fold(path, route):
    assert route == judged(path)


def test_a_request_target_of_one_asterisk_is_an_endpoint():
    assert Kind.ENDPOINT is classify(b"*", None)


def test_api_roots_are_known_by_name_and_by_version():
    assert [True, True, True, False, False] == [
        is_api_root(segment) for segment in (b"api", b"v2", b"API", b"shop", b"\xff")
    ]


def test_most_random_words_fold():
    """8 letters of a to z: what slips through is a name, of which a parent keeps few."""
    generator = random.Random(7)
    words = ["".join(generator.choices("abcdefghijklmnopqrstuvwxyz", k=8)) for _ in range(2000)]
    folded = sum(classify(word.encode(), b"x") is Kind.IDENTIFIER for word in words)
    assert folded > 0.35 * len(words)


@pytest.mark.parametrize(
    ("alphabet", "length"),
    [
        ("0123456789abcdef", 8),
        ("0123456789abcdef", 24),
        ("0123456789abcdefghijklmnopqrstuvwxyz", 12),
        ("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 26),
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-", 21),
    ],
)
def test_random_tokens_fold(alphabet, length):
    generator = random.Random(11)
    tokens = ["".join(generator.choices(alphabet, k=length)) for _ in range(2000)]
    folded = sum(classify(token.encode(), b"x") is Kind.IDENTIFIER for token in tokens)
    assert folded >= 0.97 * len(tokens)


@settings(deadline=None)
@given(st.binary(max_size=300), st.one_of(st.none(), st.binary(max_size=300)))
def test_no_bytes_raise_and_equal_ones_are_judged_equally(segment, parent):
    assert classify(segment, parent) is classify(segment, parent)


@settings(deadline=None)
@given(st.text(min_size=1, max_size=60), st.one_of(st.none(), st.text(max_size=60)))
def test_no_text_raises(segment, parent):
    kind = classify(
        segment.encode("utf-8", "surrogatepass"),
        None if parent is None else parent.encode("utf-8", "replace"),
    )
    assert isinstance(kind, Kind)


def test_a_segment_of_hostile_length_costs_little():
    started = time.perf_counter()
    for character in (b"a", b"1", b"-", b"%41", b"aB"):
        classify((character * 256)[:256], b"users")
    assert time.perf_counter() - started < 0.05
