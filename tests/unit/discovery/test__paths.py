from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelauto.discovery._paths import directory_name, generic, module_name, path_name


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/srv/shop", "shop"),
        ("/srv/shop/current/bin", "shop"),
        ("/srv/shop/releases/20240131120000", "shop"),
        ("/opt/app/v1.2.3", ""),
        ("/srv/shop/.venv/bin", "shop"),
        ("/srv/shop/artisan/..", "shop"),
        ("/home/alice", ""),
        ("/home/alice/blog", "blog"),
        ("/srv/www/shop.example.com/public", "shop.example.com"),
        ("/", ""),
        ("", ""),
        ("relative/shop/src", "shop"),
    ],
)
def test_innermost_telling_folder_names_the_service(path, expected):
    assert expected == directory_name(path)


@pytest.mark.parametrize(
    ("path", "cwd", "versioned", "expected"),
    [
        ("billing.py", "/srv/shop", False, "billing"),
        ("main.py", "/srv/shop", False, "shop"),
        ("../shop/main.py", "/srv/other", False, "shop"),
        ("main.py", "", False, "main"),
        ("shop-1.2.jar", "/", True, "shop"),
        ("shop-1.2.py", "/", False, "shop-1.2"),
        ("1.2.3.jar", "/srv/shop", True, "shop"),
        ("1.2.3.jar", "/", True, "1.2.3"),
        ("/", "/", False, ""),
        ("/dev/fd/63", "/srv/shop", False, ""),
        ("/proc/self/fd/3", "/srv/shop", False, ""),
        ("", "/srv/shop/x", False, "shop"),
    ],
)
def test_script_or_else_its_folder_names_the_service(path, cwd, versioned, expected):
    assert expected == path_name(path, cwd, versioned=versioned)


@pytest.mark.parametrize(
    ("module", "cwd", "expected"),
    [
        ("http.server", "/srv/x", "http.server"),
        ("server", "/srv/x", "x"),
        ("shop.wsgi:application", "/", "shop"),
        ("shop.api.main", "/", "shop.api"),
        ("app.main:app", "/", "app"),
        ("app", "/srv/shop", "shop"),
        ("", "/srv/shop", "shop"),
        ("...", "/", ""),
    ],
)
def test_module_without_its_generic_parts_names_the_service(module, cwd, expected):
    assert expected == module_name(module, cwd)


def test_generic_names_are_recognised_in_any_case():
    assert generic("Main")
    assert not generic("shop")


@given(st.text(), st.text(), st.booleans())
def test_any_path_gives_a_text(path, cwd, versioned):
    assert isinstance(path_name(path, cwd, versioned=versioned), str)
    assert isinstance(module_name(path, cwd), str)
