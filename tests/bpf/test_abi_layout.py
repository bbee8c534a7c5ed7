"""agent/otelauto/abi/_layout.py is what the host's compiler makes of bpf/abi.h."""

from __future__ import annotations

import re
import shutil
import subprocess
from enum import IntEnum
from struct import Struct

import pytest
from tests.bpf.build import HERE

from otelauto.abi import _layout

HEADER = HERE.parents[1] / "bpf" / "abi.h"
STRUCTS = {
    name.removesuffix("_OFFSETS").lower(): offsets
    for name, offsets in vars(_layout).items()
    if name.endswith("_OFFSETS")
}
ENUMS = {
    re.sub(r"(?<!^)([A-Z])", r"_\1", name.removesuffix("Kind")).upper(): members
    for name, members in vars(_layout).items()
    if isinstance(members, type) and issubclass(members, IntEnum) and members is not IntEnum
}
NUMBERS = [
    name for name, value in vars(_layout).items() if name.isupper() and isinstance(value, int)
]


@pytest.fixture(scope="module")
def compiler_says(tmp_path_factory):
    """compiler_says(["sizeof(int)"]): the values of C expressions over abi.h."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc on this machine")
    folder = tmp_path_factory.mktemp("abi")

    def ask(expressions):
        source = folder / "ask.c"
        lines = "".join(f'\tprintf("%lld\\n", (long long)({text}));\n' for text in expressions)
        source.write_text(
            f'#include <stdio.h>\n#include <stddef.h>\n#include "{HERE}/abi_host.c"\n'
            f"int main(void)\n{{\n{lines}\treturn 0;\n}}\n"
        )
        subprocess.run(["gcc", "-std=gnu11", "-o", folder / "ask", source], check=True, timeout=60)
        output = subprocess.check_output([folder / "ask"], text=True, timeout=10)
        return [int(line) for line in output.split()]

    return ask


def test_the_contract_has_no_hidden_holes():
    if shutil.which("gcc") is None:
        pytest.skip("no gcc on this machine")
    flags = ["-std=gnu11", "-Wall", "-Wextra", "-Wpadded", "-Werror", "-fsyntax-only"]
    outcome = subprocess.run(
        ["gcc", *flags, HERE / "abi_host.c"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (0, "") == (outcome.returncode, outcome.stderr)


def test_every_struct_of_the_contract_is_in_the_layout():
    declared = re.findall(r"^struct (\w+) \{", HEADER.read_text(), re.MULTILINE)
    assert sorted(declared) == sorted(STRUCTS)


@pytest.mark.parametrize("name", sorted(STRUCTS))
def test_a_struct_has_its_size_and_its_members_their_places(name, compiler_says):
    layout = getattr(_layout, name.upper())
    assert isinstance(layout, Struct)
    places = [f"offsetof(struct {name}, {member})" for member in STRUCTS[name]]
    assert compiler_says([f"sizeof(struct {name})", *places]) == [
        layout.size,
        *STRUCTS[name].values(),
    ]


def test_every_enum_has_its_values(compiler_says):
    wanted = [
        (f"{prefix}_{member.name}", member.value)
        for prefix, members in ENUMS.items()
        for member in members
    ]
    assert len(wanted) > 40
    assert compiler_says([name for name, _ in wanted]) == [value for _, value in wanted]


def test_every_method_has_the_id_of_its_place(compiler_says):
    names = [f"METHOD_{name.replace('-', '_')}" for name in _layout.METHODS[1:]]
    assert compiler_says(names) == list(range(1, len(_layout.METHODS)))
    longest = max(map(len, _layout.METHODS))
    assert longest < _layout.METHOD_BYTES


def test_every_size_is_the_same_on_both_sides(compiler_says):
    assert len(NUMBERS) >= 6
    assert compiler_says(NUMBERS) == [getattr(_layout, name) for name in NUMBERS]
