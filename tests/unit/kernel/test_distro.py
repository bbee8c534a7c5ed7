from __future__ import annotations

import pytest

from otelauto.kernel.distro import Distro, bcc_package, header_package, read_os_release

DEBIAN = Distro(ids=("debian",), version="12")
UBUNTU = Distro(ids=("ubuntu", "debian"))
ROCKY = Distro(ids=("rocky", "rhel", "centos", "fedora"), version="9.4")
ORACLE = Distro(ids=("ol", "fedora"))
AMAZON = Distro(ids=("amzn", "fedora"), version="2023")
LEAP = Distro(ids=("opensuse-leap", "suse", "opensuse"))


def test_os_release_is_read_with_and_without_quotes(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text(
        "# comment\nID=rocky\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID='9.4'\n"
        'PRETTY_NAME="Rocky Linux 9.4"\nnonsense\n'
    )
    assert Distro(
        ids=("rocky", "rhel", "centos", "fedora"), version="9.4", name="Rocky Linux 9.4"
    ) == read_os_release(tmp_path)


def test_the_second_place_of_os_release_counts_too(tmp_path):
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/os-release").write_text("ID=debian\n")
    assert Distro(ids=("debian",), name="debian") == read_os_release(tmp_path)


def test_a_host_without_os_release_is_an_unknown_distribution(tmp_path):
    assert Distro() == read_os_release(tmp_path)


@pytest.mark.parametrize(
    ("distro", "package"),
    [
        (DEBIAN, "python3-bpfcc"),
        (UBUNTU, "python3-bpfcc"),
        (ROCKY, "python3-bcc"),
        (LEAP, "python3-bcc"),
        (Distro(ids=("arch",)), "python-bcc"),
        (Distro(ids=("alpine",)), "py3-bcc"),
    ],
)
def test_the_binding_is_called_as_the_distribution_calls_it(distro, package):
    assert package == bcc_package(distro)


@pytest.mark.parametrize(
    ("distro", "release", "package"),
    [
        (DEBIAN, "6.1.0-9-cloud-amd64", "linux-headers-6.1.0-9-cloud-amd64"),
        (UBUNTU, "6.8.0-31-generic", "linux-headers-6.8.0-31-generic"),
        (ROCKY, "5.14.0-427.el9.x86_64", "kernel-devel-5.14.0-427.el9.x86_64"),
        (ROCKY, "5.14.0-427.el9.aarch64+64k", "kernel-64k-devel-5.14.0-427.el9.aarch64"),
        (ORACLE, "5.15.0-200.el9uek.x86_64", "kernel-uek-devel-5.15.0-200.el9uek.x86_64"),
        (AMAZON, "6.1.84-99.amzn2023", "kernel-devel-6.1.84-99.amzn2023"),
        (AMAZON, "6.12.22-27.amzn2023", "kernel6.12-devel-6.12.22-27.amzn2023"),
        (LEAP, "5.14.21-150500.55-default", "kernel-default-devel=5.14.21-150500.55"),
        (Distro(ids=("alpine",)), "6.6.31-0-lts", "linux-lts-dev"),
        (Distro(), "6.18.44", "the development package of kernel 6.18.44"),
    ],
)
def test_headers_are_those_of_exactly_the_running_kernel(distro, release, package):
    assert package == header_package(distro, release)
