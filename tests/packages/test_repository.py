"""The repositories are signed and complete, and apt installs from them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest
from tests.packages.conftest import ROOT

pytestmark = [pytest.mark.packages, pytest.mark.timeout(600)]

PROGRAM = ROOT / "packaging/tools/repository.py"


def gpg(home, *arguments):
    environment = {**os.environ, "GNUPGHOME": str(home)}
    command = ["gpg", "--batch", "--quiet", *arguments]
    return subprocess.run(command, env=environment, check=True, capture_output=True).stdout


def make(*arguments):
    command = [sys.executable, str(PROGRAM), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    """A file with a secret key. Its home has a short path: an agent's socket is in it."""
    home = tmp_path_factory.mktemp("gpg")
    home.chmod(0o700)
    identity = "otelauto test <test@otelauto.example>"
    gpg(home, "--passphrase", "", "--quick-generate-key", identity, "rsa3072", "sign", "never")
    path = home / "key.asc"
    path.write_bytes(gpg(home, "--armor", "--export-secret-keys"))
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
    return path


@pytest.fixture(scope="module")
def repository(built, key, tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository") / "made"
    done = make(f"--key={key}", f"--dist={built.dist}", f"--repository={folder}")
    assert 0 == done.returncode, done.stderr
    return folder


def verify(repository, tmp_path, *arguments):
    home = tmp_path / "home"
    home.mkdir(mode=0o700, exist_ok=True)
    gpg(home, "--import", str(repository / "otelauto.asc"))
    gpg(home, "--verify", *arguments)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)


def test_all_signatures_are_the_keys(repository, tmp_path):
    stable, repodata = repository / "apt/dists/stable", repository / "yum/repodata"
    verify(repository, tmp_path, str(stable / "InRelease"))
    verify(repository, tmp_path, str(stable / "Release.gpg"), str(stable / "Release"))
    verify(repository, tmp_path, str(repodata / "repomd.xml.asc"), str(repodata / "repomd.xml"))
    database = tmp_path / "rpm"
    for command in (
        ["rpm", f"--dbpath={database}", "--import", repository / "otelauto.asc"],
        ["rpm", f"--dbpath={database}", "-K", *(repository / "yum").glob("*.rpm")],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert 0 == done.returncode, done.stdout + done.stderr
    assert "digests signatures OK" in done.stdout


def test_no_secret_key_is_in_it(repository):
    for path in repository.rglob("*"):
        assert path.is_dir() or b"PRIVATE KEY" not in path.read_bytes()


def test_the_yum_index_names_the_package(repository, built):
    index = repository / "yum/repodata/repomd.xml"
    assert re.search(r'type="primary"', index.read_text())
    assert [built.rpm.name] == [path.name for path in (repository / "yum").glob("*.rpm")]


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_apt_installs_from_it_and_refuses_it_without_the_key(suite, repository, host, built):
    machine = host(suite, booted=False)
    shutil.copytree(repository / "apt", machine.root / "srv/apt")
    sources = (repository / "otelauto.sources").read_text()
    local = sources.replace("https://mirror.example/otelauto/apt", "file:/srv/apt")
    etc = machine.root / "etc/apt"
    shutil.rmtree(etc / "sources.list.d", ignore_errors=True)
    (etc / "sources.list").unlink(missing_ok=True)
    (etc / "sources.list.d").mkdir()
    (etc / "sources.list.d/otelauto.sources").write_text(local)
    machine.run("rm", "-rf", "/var/lib/apt/lists")
    refused = machine.run("apt-get", "update", check=False)
    assert re.search(r"NO_PUBKEY|not signed|Missing key|sqv", refused)

    (etc / "keyrings").mkdir(exist_ok=True)
    shutil.copy(repository / "otelauto.asc", etc / "keyrings")
    machine.run("apt-get", "update")
    machine.run("apt-get", "install", "-y", "otelauto")
    assert f"otelauto {built.version}\n" == machine.run("otelauto", "version")


def test_what_is_missing_is_said_in_one_line(built, tmp_path):
    done = make(f"--key={tmp_path}/none", f"--dist={tmp_path}")
    assert (1, 1) == (done.returncode, done.stderr.count("\n"))
    assert "has no packages: make package" in done.stderr
    os.environ["GNUPGHOME"], before = str(tmp_path / "empty"), os.environ.get("GNUPGHOME")
    (tmp_path / "empty").mkdir(mode=0o700)
    try:
        done = make("--key=nobody@otelauto.example", f"--dist={built.dist}")
    finally:
        os.environ.pop("GNUPGHOME")
        if before is not None:
            os.environ["GNUPGHOME"] = before
    assert 1 == done.returncode
    assert not (built.dist / "repository").exists()
