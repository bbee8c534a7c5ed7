"""Package names by recorded facts: always the running kernel's headers, and only where needed."""

from __future__ import annotations

import pytest
from ansible_collections.otelauto.fleet.plugins.plugin_utils.kernel_packages import (
    KernelPackagesError,
    kernel_packages,
)


def facts(distribution, version, family, kernel):
    return {
        "distribution": distribution,
        "distribution_version": version,
        "distribution_major_version": version.partition(".")[0],
        "os_family": family,
        "kernel": kernel,
    }


#: Facts of hosts, and the packages of the running kernel's headers ({} is it) and of later ones'.
HOSTS = [
    (("Debian", "12.9", "Debian", "6.1.0-30-amd64"), "linux-headers-{}", "linux-headers-amd64"),
    (
        ("Debian", "12.9", "Debian", "6.1.0-30-cloud-arm64"),
        "linux-headers-{}",
        "linux-headers-cloud-arm64",
    ),
    (
        ("Debian", "12.9", "Debian", "6.1.0-30-rt-amd64"),
        "linux-headers-{}",
        "linux-headers-rt-amd64",
    ),
    (
        ("Debian", "13.1", "Debian", "6.12.41+deb13-amd64"),
        "linux-headers-{}",
        "linux-headers-amd64",
    ),
    (("Debian", "12.9", "Debian", "6.12.9+bpo-amd64"), "linux-headers-{}", "linux-headers-amd64"),
    (
        ("Debian", "11.9", "Debian", "6.1.0-0.deb11.21-amd64"),
        "linux-headers-{}",
        "linux-headers-amd64",
    ),
    (
        ("Debian", "12.9", "Debian", "6.6.51+rpt-rpi-v8"),
        "linux-headers-{}",
        "linux-headers-rpi-v8",
    ),
    (
        ("Ubuntu", "22.04", "Debian", "5.15.0-91-generic"),
        "linux-headers-{}",
        "linux-headers-generic",
    ),
    (
        ("Ubuntu", "22.04", "Debian", "6.8.0-49-generic"),
        "linux-headers-{}",
        "linux-headers-generic-hwe-22.04",
    ),
    (
        ("Ubuntu", "24.04", "Debian", "6.8.0-49-generic"),
        "linux-headers-{}",
        "linux-headers-generic",
    ),
    (("Ubuntu", "24.04", "Debian", "6.8.0-1020-aws"), "linux-headers-{}", "linux-headers-aws"),
    (("Ubuntu", "22.04", "Debian", "6.5.0-1025-azure"), "linux-headers-{}", "linux-headers-azure"),
    (("Rocky", "8.10", "RedHat", "4.18.0-553.el8_10.x86_64"), "kernel-devel-{}", "kernel-devel"),
    (("RedHat", "9.5", "RedHat", "5.14.0-503.el9.x86_64"), "kernel-devel-{}", "kernel-devel"),
    (("AlmaLinux", "10.0", "RedHat", "6.12.0-55.el10.x86_64"), "kernel-devel-{}", "kernel-devel"),
    (
        ("Rocky", "9.5", "RedHat", "5.14.0-503.el9.x86_64+rt"),
        "kernel-rt-devel-5.14.0-503.el9.x86_64",
        "kernel-rt-devel",
    ),
    (
        ("Rocky", "9.5", "RedHat", "5.14.0-503.el9.aarch64+64k"),
        "kernel-64k-devel-5.14.0-503.el9.aarch64",
        "kernel-64k-devel",
    ),
    (
        ("OracleLinux", "9.5", "RedHat", "5.15.0-302.el9uek.x86_64"),
        "kernel-uek-devel-{}",
        "kernel-uek-devel",
    ),
    (("Fedora", "41", "RedHat", "6.12.4-200.fc41.x86_64"), "kernel-devel-{}", "kernel-devel"),
    (
        ("Amazon", "2023", "RedHat", "6.1.119-129.201.amzn2023.x86_64"),
        "kernel-devel-{}",
        "kernel-devel",
    ),
    (
        ("Amazon", "2023", "RedHat", "6.12.35-55.103.amzn2023.x86_64"),
        "kernel6.12-devel-{}",
        "kernel6.12-devel",
    ),
    (
        ("SLES", "15.6", "Suse", "6.4.0-150600.23.25-default"),
        "kernel-default-devel=6.4.0-150600.23.25",
        "kernel-default-devel",
    ),
    (
        ("openSUSE Leap", "15.6", "Suse", "6.4.0-150600.23.25-azure"),
        "kernel-azure-devel=6.4.0-150600.23.25",
        "kernel-azure-devel",
    ),
]


@pytest.mark.parametrize(("host", "exact", "tracking"), HOSTS)
def test_headers_are_those_of_the_running_kernel(host, exact, tracking):
    plan = kernel_packages(facts(*host), "auto", btf=False)
    exact = exact.format(host[3])
    assert (exact, tracking) == (plan["headers"], plan["tracking"])
    # On every supported distribution the agent needs the binding alone.
    assert [["python3-bpfcc"] if host[2] == "Debian" else ["python3-bcc"]] == [plan["bcc"]]
    assert exact in plan["remedies"]
    assert host[3] in plan["remedies"]


@pytest.mark.parametrize("host", [host for host, _, _ in HOSTS])
@pytest.mark.parametrize(("mode", "btf"), [("auto", True), ("never", True), ("never", False)])
def test_headers_are_not_installed_where_nothing_needs_them(host, mode, btf):
    plan = kernel_packages(facts(*host), mode, btf=btf)
    assert ("", "", "") == (plan["headers"], plan["tracking"], plan["remedies"])


def test_the_remedies_tell_the_choices():
    host = facts("Debian", "12.9", "Debian", "6.1.0-12-amd64")
    always = kernel_packages(host, "always", btf=True)["remedies"]
    assert "1) boot the mirror's newest kernel" in always
    assert "2) add a mirror or an archive that still has linux-headers-6.1.0-12-amd64" in always
    assert "3) set bcc_kernel_headers to auto" in always
    assert "kheaders" in kernel_packages(host, "auto", btf=False)["remedies"]


def test_an_unknown_distribution_is_told_what_to_do():
    with pytest.raises(KernelPackagesError, match=r"for Alpine 3\.20: install BCC"):
        kernel_packages(facts("Alpine", "3.20", "Alpine", "6.6.0-virt"))


def test_an_unknown_mode_is_refused():
    with pytest.raises(KernelPackagesError, match="auto, always or never"):
        kernel_packages(facts(*HOSTS[0][0]), "sometimes")
