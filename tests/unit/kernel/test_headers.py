from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest
from tests.unit.kernel.test_layout import blob

from otelauto.errors import LoadError
from otelauto.kernel import headers
from otelauto.kernel.headers import find_kernel_headers, resolve

RELEASE = "6.1.0-9-amd64"
FOLDER = Path("/pkg/bpf")


@pytest.fixture
def root(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text("ID=debian\n")
    return tmp_path


def write(path: Path, content: str | bytes = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def with_btf(root: Path) -> Path:
    write(root / "sys/kernel/btf/vmlinux", blob())
    return root


def with_headers(root: Path, *, of: str = RELEASE, release: str = RELEASE) -> Path:
    build = root / "lib/modules" / release / "build"
    write(build / "include/linux/kconfig.h")
    write(build / "include/generated/utsrelease.h", f'#define UTS_RELEASE "{of}"\n')
    return build


@pytest.mark.parametrize("mode", ["auto", "bundled"])
def test_with_type_information_our_own_headers_do(root, mode):
    found = resolve(mode, folder=FOLDER, root=with_btf(root), release=RELEASE)
    assert ("bundled", FOLDER, "") == (found.mode, found.kernel_source, found.prelude)
    assert f"-DLINUX_VERSION_CODE={6 << 16 | 1 << 8}" in found.cflags
    assert f"-DPAGE_SIZE={os.sysconf('SC_PAGE_SIZE')}UL" in found.cflags
    assert "-DOFF_task_struct_tgid=8" in found.cflags


@pytest.mark.parametrize(("machine", "target"), [("x86_64", "x86"), ("aarch64", "arm64")])
@pytest.mark.parametrize("mode", ["bundled", "kernel"])
def test_the_programs_learn_for_which_machine_they_are(root, mode, machine, target):
    with_headers(with_btf(root))
    found = resolve(mode, folder=FOLDER, root=root, release=RELEASE, machine=machine)
    assert f"-D__TARGET_ARCH_{target}" in found.cflags


def test_without_type_information_matching_headers_are_taken(root):
    with_headers(root)
    found = resolve("auto", folder=FOLDER, root=root, release=RELEASE)
    assert ("kernel", None) == (found.mode, found.kernel_source)
    assert "-DSIZEOF_upid=sizeof(struct upid)" in found.cflags
    assert found.prelude.startswith("#include <")


def test_the_kernels_headers_are_taken_if_asked_for_with_offsets_of_the_running_kernel(root):
    with_headers(with_btf(root))
    found = resolve("kernel", folder=FOLDER, root=root, release=RELEASE)
    assert ("kernel", None, "") == (found.mode, found.kernel_source, found.prelude)
    assert "-DOFF_task_struct_tgid=8" in found.cflags
    assert not [flag for flag in found.cflags if "PAGE_SIZE" in flag]


def test_without_either_one_line_names_kernel_and_package(root):
    """Case K1."""
    with pytest.raises(LoadError) as caught:
        resolve("auto", folder=FOLDER, root=root, release=RELEASE)
    assert (
        f"the kernel has no type information ({root}/sys/kernel/btf/vmlinux), "
        f"and kernel {RELEASE} has no headers in {root}/lib/modules/{RELEASE}/build "
        f"(package linux-headers-{RELEASE})"
    ) == caught.value.message
    assert "\n" not in str(caught.value)
    assert 3 == caught.value.exit_code


def test_bundled_without_type_information_is_refused_whatever_headers_there_are(root):
    with_headers(root)
    with pytest.raises(LoadError, match=r"set ebpf\.headers to auto"):
        resolve("bundled", folder=FOLDER, root=root, release=RELEASE)


def test_headers_of_another_kernel_are_never_used(root):
    """Case K1: an upgrade has replaced the headers, or the link leads to others."""
    with_headers(root, of="6.1.0-10-amd64")
    with pytest.raises(LoadError, match=f"are of kernel 6.1.0-10-amd64, but {RELEASE} is running"):
        find_kernel_headers(RELEASE, root=root)


def test_headers_of_other_kernels_beside_do_not_help(root):
    with_headers(root, of="6.1.0-10-amd64", release="6.1.0-10-amd64")
    with pytest.raises(LoadError, match="has no headers in"):
        find_kernel_headers(RELEASE, root=root)


def test_a_dangling_link_is_no_headers(root):
    modules = root / "lib/modules" / RELEASE
    modules.mkdir(parents=True)
    (modules / "build").symlink_to(root / "usr/src/gone")
    with pytest.raises(LoadError, match="has no headers in"):
        find_kernel_headers(RELEASE, root=root)


def test_headers_that_do_not_say_of_which_kernel_they_are_are_refused(root):
    write(root / "lib/modules" / RELEASE / "build/include/linux/kconfig.h")
    with pytest.raises(LoadError, match="are of kernel unknown"):
        find_kernel_headers(RELEASE, root=root)


def test_the_release_is_read_from_the_other_file_too(root):
    build = root / "lib/modules" / RELEASE / "build"
    write(build / "include/linux/kconfig.h")
    write(build / "include/config/kernel.release", f"{RELEASE}\n")
    assert build == find_kernel_headers(RELEASE, root=root)


def test_split_headers_are_looked_for_where_bcc_looks(root):
    """With both links BCC takes "source" and generated files from "build"."""
    build = with_headers(root)
    source = build.with_name("source")
    source.mkdir()
    with pytest.raises(LoadError, match=r"has no headers in .*/source"):
        find_kernel_headers(RELEASE, root=root)
    write(source / "include/linux/kconfig.h")
    assert source == find_kernel_headers(RELEASE, root=root)


def test_headers_unpacked_in_a_shared_temporary_folder_are_never_looked_at(root):
    """Case O7."""
    write(root / f"tmp/kheaders-{RELEASE}/include/linux/kconfig.h")
    write(root / f"tmp/kheaders-{RELEASE}/include/config/kernel.release", RELEASE)
    with pytest.raises(LoadError, match="has no headers in"):
        resolve("auto", folder=FOLDER, root=root, release=RELEASE)


@pytest.mark.parametrize(
    ("release", "code"),
    [("4.18.0-553.el8", 0x41200), ("5.10.209", 0x50AD1), ("6.12.300-x", 0x60CFF), ("odd", 0)],
)
def test_the_version_code_is_the_headers_own(release, code):
    assert code == headers._version_code(release)


def test_the_page_size_of_the_definition_is_the_machines():
    assert os.sysconf("SC_PAGE_SIZE") == ctypes.CDLL(None).getpagesize()
