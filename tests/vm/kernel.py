"""Debian's kernels, made ready to boot directly: unpacked, with an initramfs of a few modules."""

from __future__ import annotations

import gzip
import lzma
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.vm.cache import BuildError, built, called, mirrors

__all__ = ["Kernel", "kernel"]

_BUSYBOX = Path("/bin/busybox")
#: Between the kernel and its disks.
_MODULES = ("crc32c_generic", "virtio_mmio", "virtio_blk", "ext4")
_PACKERS = {b"\x28\xb5\x2f\xfd": "zstd", b"\x02\x21\x4c\x18": "lz4"}

#: Mounts the disks called root and payload, and hands over. A disk is known by its serial number.
_INIT = """#!/bin/sh
mount -t devtmpfs d /dev; mount -t proc p /proc; mount -t sysfs s /sys
for module in /modules/*; do insmod $module 2>/dev/null; done
i=0; while [ ! -b /dev/vdc ] && [ $i -lt 200 ]; do sleep 0.05; i=$((i+1)); done
for disk in /sys/block/vd*; do ln -s ${disk##*/} /dev/disk-$(cat $disk/serial); done
mount -t ext4 -o noatime /dev/disk-root /new || exec sh
mount -t ext4 -o ro /dev/disk-payload /new/payload || exec sh
mount -o move /dev /new/dev; mount -o move /proc /new/proc; mount -o move /sys /new/sys
exec switch_root /new /payload/init
"""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel of a suite.

    Attributes:
        suite: of Debian.
        release: uname -r.
        image: unpacked, which an emulated machine starts sooner.
        initramfs: with the modules for the disks.
    """

    suite: str
    release: str
    image: Path
    initramfs: Path


def kernel(suite: str) -> Kernel:
    """The newest kernel of a suite; built if it is not there yet.

    Raises:
        BuildError: it cannot be had.
    """
    folder = built(f"kernel-{suite}", (suite, _MODULES, _INIT, 1), lambda to: _build(suite, to))
    release = (folder / "release").read_text()
    return Kernel(suite, release, folder / "vmlinux", folder / "initramfs")


def _build(suite: str, folder: Path) -> None:
    root = folder / "root"
    release = _unpack_package(suite, folder / "apt", root)
    (folder / "vmlinux").write_bytes(unpacked((root / f"boot/vmlinuz-{release}").read_bytes()))
    called(["depmod", "-b", str(root), release])
    _pack_initramfs(root, release, folder)
    (folder / "release").write_text(release)
    shutil.rmtree(root)
    shutil.rmtree(folder / "apt")


def _unpack_package(suite: str, apt: Path, root: Path) -> str:
    """Unpack the suite's kernel package; its release. The host's own apt state is not touched."""
    for name in ("state/lists/partial", "cache/archives/partial", "parts"):
        (apt / name).mkdir(parents=True)
    (apt / "status").write_text("")
    (apt / "sources.list").write_text("\n".join(mirrors(suite)) + "\n")
    settings = {
        "Dir::State": apt / "state",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt / "cache",
        "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": apt / "parts",
        "Dir::Etc::preferencesparts": apt / "parts",
        "Acquire::Languages": "none",
        "APT::Sandbox::User": "root",
    }
    options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
    called(["apt-get", *options, "-qq", "update"])
    depends = called(["apt-cache", *options, "depends", "linux-image-amd64"])
    names = [word for word in depends.split() if word.startswith("linux-image-")]
    package = next((name for name in names if name[12].isdigit()), "")
    if not package:
        raise BuildError(f"{suite} has no kernel package: {depends}")
    called(["apt-get", *options, "-qq", "download", package], cwd=apt)
    (file,) = apt.glob(f"{package}_*.deb")
    called(["dpkg-deb", "-x", str(file), str(root)])
    if not (root / "lib").exists():
        (root / "lib").symlink_to("usr/lib")
    return package.removeprefix("linux-image-")


def unpacked(image: bytes) -> bytes:
    """The ELF file in a bzImage (Documentation/arch/x86/boot.rst: payload_offset)."""
    sectors = image[0x1F1] or 4
    offset = int.from_bytes(image[0x248:0x24C], "little")
    length = int.from_bytes(image[0x24C:0x250], "little")
    start = (sectors + 1) * 512 + offset
    payload = image[start : start + length]
    if payload[:2] == b"\x1f\x8b":
        elf = gzip.decompress(payload[:-4])
    elif payload[:6] == b"\xfd7zXZ\0":
        elf = lzma.LZMADecompressor().decompress(payload)
    else:
        packer = _PACKERS.get(payload[:4])
        if packer is None:
            raise BuildError(f"the kernel is packed in an unknown way: {payload[:6]!r}")
        # The last four bytes are the unpacked size, appended by the kernel's build.
        done = subprocess.run(
            [packer, "-dcq"], input=payload[:-4], capture_output=True, check=False
        )
        elf = done.stdout
    if elf[:4] != b"\x7fELF":
        raise BuildError("there is no ELF file in the kernel's image")
    return elf


def _pack_initramfs(root: Path, release: str, folder: Path) -> None:
    tree = folder / "tree"
    for name in ("bin", "dev", "proc", "sys", "new", "modules"):
        (tree / name).mkdir(parents=True)
    shutil.copy(_BUSYBOX, tree / "bin/busybox")
    for name in ("sh", "cat", "ln", "mount", "insmod", "sleep", "switch_root"):
        (tree / "bin" / name).symlink_to("busybox")
    found: list[Path] = []
    for module in _MODULES:
        # Built-in ones need no file.
        show = ["modprobe", "-d", str(root), "-S", release, "--show-depends", "-q", module]
        done = subprocess.run(show, capture_output=True, text=True, check=False)
        for line in done.stdout.splitlines():
            word, _, rest = line.partition(" ")
            path = Path(rest.split(" ")[0]) if word == "insmod" else None
            if path is not None and path not in found:
                found.append(path)
    for number, path in enumerate(found):
        content = path.read_bytes()
        if path.suffix == ".xz":
            content = lzma.decompress(content)
        name = path.name.removesuffix(".xz")
        (tree / "modules" / f"{number:02}-{name}").write_bytes(content)
    (tree / "init").write_text(_INIT)
    (tree / "init").chmod(0o755)
    names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))
    # Not compressed: an emulated machine copies faster than it unpacks.
    archive = subprocess.run(
        ["cpio", "-o", "-H", "newc", "--quiet"],
        cwd=tree,
        input="\n".join(names).encode(),
        capture_output=True,
        check=True,
    )
    (folder / "initramfs").write_bytes(archive.stdout)
    shutil.rmtree(tree)
