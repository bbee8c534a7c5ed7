"""How a packaged kernel is unpacked."""

from __future__ import annotations

import gzip
import lzma

import pytest
from tests.vm.cache import BuildError, built
from tests.vm.kernel import unpacked

ELF = b"\x7fELF" + bytes(range(256)) * 8


def image(payload, *, sectors=4, offset=16):
    """A bzImage with its payload where the header of the boot protocol says."""
    header = bytearray(0x250)
    header[0x1F1] = sectors
    header[0x248:0x24C] = offset.to_bytes(4, "little")
    header[0x24C:0x250] = len(payload).to_bytes(4, "little")
    start = ((sectors or 4) + 1) * 512 + offset
    return bytes(header).ljust(start, b"\0") + payload + b"what follows"


@pytest.mark.parametrize("sectors", [0, 4, 39])
@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress], ids=["gzip", "xz"])
def test_the_elf_file_comes_out_of_each_packing(pack, sectors):
    """Behind the packed bytes is their unpacked size, as the kernel's build leaves it."""
    assert ELF == unpacked(image(pack(ELF) + len(ELF).to_bytes(4, "little"), sectors=sectors))


def test_an_unknown_packing_is_said():
    with pytest.raises(BuildError, match="unknown way"):
        unpacked(image(b"?" * 64))


def test_an_image_without_an_elf_file_is_refused():
    with pytest.raises(BuildError, match="no ELF file"):
        unpacked(image(gzip.compress(b"text") + bytes(4)))


def test_a_part_is_built_once_for_each_recipe(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    builds = []

    def build(folder):
        builds.append(folder)
        (folder / "made").write_text("x")

    first = built("part", 1, build)
    assert first == built("part", 1, build)
    assert first != built("part", 2, build)
    assert ["made"] == [path.name for path in first.iterdir()]
    assert 2 == len(builds)


def test_a_build_that_failed_leaves_nothing_and_is_tried_again(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def fail(folder):
        (folder / "half").write_text("x")
        raise BuildError("no network")

    with pytest.raises(BuildError, match="no network"):
        built("part", 1, fail)
    folder = built("part", 1, lambda folder: (folder / "whole").touch())
    assert ["whole"] == [path.name for path in folder.iterdir()]
