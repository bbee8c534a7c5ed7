from __future__ import annotations

import pytest

from otelauto.discovery.runtimes import program, runtime_of
from otelauto.model import Process


@pytest.mark.parametrize(
    ("exe", "expected"),
    [
        ("/usr/bin/python3", "python"),
        ("/usr/bin/python3.13t", "python"),
        ("/opt/pypy3.10/bin/pypy3.10", "python"),
        ("/usr/bin/nodejs", "node"),
        ("/usr/bin/perl5.36-x86_64-linux-gnu", "perl"),
        ("/usr/bin/php8.2", "php"),
        ("/usr/sbin/php-fpm8.2", None),
        ("/usr/lib/erlang/erts-13/bin/beam.smp", "beam"),
        ("/usr/bin/python-agent", None),
        ("/usr/bin/javac", None),
        ("/usr/sbin/nginx", None),
        ("/usr/bin/bash", "shell"),
    ],
)
def test_runtime_is_known_by_its_executable(exe, expected):
    assert expected == runtime_of(Process(1, 1, exe=exe))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"exe": "/usr/sbin/nginx", "cmdline": ("other",)}, "nginx"),
        ({"cmdline": ("nginx: worker process",)}, "nginx"),
        ({"cmdline": ("/usr/sbin/apache2", "-k")}, "apache2"),
        ({"cmdline": ("",)}, ""),
        ({}, ""),
    ],
)
def test_program_is_the_executable_or_the_first_word(fields, expected):
    assert expected == program(Process(1, 1, **fields))
