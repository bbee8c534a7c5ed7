"""Turns the packages in dist/ into an apt and a yum repository, signed: plain files to be served.

    packaging/tools/repository.py --key KEY [--dist DIR] [--repository DIR]

KEY is a file with a secret GPG key without a passphrase, or the id of one in the user's keyring.
Everything is signed with it: the apt index, the yum index and each .rpm. Needs gpg, apt-ftparchive
(apt-utils), createrepo_c and rpmsign (rpm); only the standard library of Python.
"""

from __future__ import annotations

import argparse
import gzip
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_RELEASE = {"Origin": "otelauto", "Label": "otelauto", "Suite": "stable", "Codename": "stable"}
_SOURCES = """\
# Put this into /etc/apt/sources.list.d/otelauto.sources, with the address of your mirror.
Types: deb
URIs: https://mirror.example/otelauto/apt
Suites: stable
Components: main
Signed-By: /etc/apt/keyrings/otelauto.asc
"""
_REPO = """\
# Put this into /etc/yum.repos.d/otelauto.repo, with the address of your mirror.
[otelauto]
name=otelauto
baseurl=https://mirror.example/otelauto/yum
enabled=1
gpgcheck=1
repo_gpgcheck=1
gpgkey=https://mirror.example/otelauto/otelauto.asc
"""


class RepositoryError(Exception):
    """The repository cannot be made."""


def run(*command: str | Path, home: Path, folder: Path | None = None) -> str:
    """Run a program; what it printed.

    Raises:
        RepositoryError: it is not there, or it failed.
    """
    environment = {**os.environ, "GNUPGHOME": str(home), "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise RepositoryError(
            f"{command[0]} is not installed: apt-get install gpg apt-utils createrepo-c rpm"
        ) from error
    if done.returncode:
        raise RepositoryError(f"{command[0]} failed:\n{done.stderr.strip()}")
    return done.stdout


def keyring(key: str, scratch: Path) -> tuple[Path, str]:
    """The GPG home that has the secret key, and the key's fingerprint."""
    home = Path(os.environ.get("GNUPGHOME") or Path.home() / ".gnupg")
    wanted = [key]
    if Path(key).is_file():
        home = scratch / "gnupg"
        home.mkdir(mode=0o700)
        run("gpg", "--batch", "--quiet", "--import", key, home=home)
        wanted = []
    listed = run("gpg", "--batch", "--with-colons", "--list-secret-keys", *wanted, home=home)
    found = re.search(r"^fpr:+([0-9A-F]{40}):", listed, re.MULTILINE)
    if found is None:
        raise RepositoryError(f"{key} is no secret GPG key, neither a file nor in the keyring")
    return home, found[1]


def sign(path: Path, signature: Path, *how: str, home: Path, fingerprint: str) -> None:
    """Sign a file; ``how`` are gpg's options."""
    signature.unlink(missing_ok=True)
    run(
        *("gpg", "--batch", "--yes", "--quiet", "--local-user", fingerprint, "--digest-algo"),
        *("SHA512", "--output", signature, *how, path),
        home=home,
    )  # fmt: skip


def apt(packages: list[Path], folder: Path, *, home: Path, fingerprint: str) -> None:
    """Make the apt repository: pool/ and dists/stable."""
    pool, dists = folder / "pool/main", folder / "dists/stable"
    pool.mkdir(parents=True)
    for package in packages:
        shutil.copy(package, pool)
    machines = sorted({package.stem.rpartition("_")[2] for package in packages})
    for machine in machines:
        index = dists / f"main/binary-{machine}/Packages"
        index.parent.mkdir(parents=True)
        text = run("apt-ftparchive", "-a", machine, "packages", "pool", home=home, folder=folder)
        index.write_text(text)
        Path(f"{index}.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    facts = {**_RELEASE, "Architectures": " ".join(machines), "Components": "main"}
    options = [f"-oAPT::FTPArchive::Release::{name}={value}" for name, value in facts.items()]
    release = dists / "Release"
    release.write_text(
        run("apt-ftparchive", *options, "release", "dists/stable", home=home, folder=folder)
    )
    sign(release, dists / "InRelease", "--clearsign", home=home, fingerprint=fingerprint)
    how = ("--armor", "--detach-sign")
    sign(release, dists / "Release.gpg", *how, home=home, fingerprint=fingerprint)


def yum(packages: list[Path], folder: Path, *, home: Path, fingerprint: str) -> None:
    """Make the yum repository: signed packages and repodata/."""
    folder.mkdir(parents=True)
    for package in packages:
        copy = shutil.copy(package, folder)
        run(
            *("rpmsign", "--define", f"_gpg_name {fingerprint}", "--define", "__gpg /usr/bin/gpg"),
            *("--define", f"_gpg_path {home}", "--addsign", copy),
            home=home,
        )  # fmt: skip
    run("createrepo_c", "--quiet", folder, home=home)
    index = folder / "repodata/repomd.xml"
    how = ("--armor", "--detach-sign")
    sign(index, Path(f"{index}.asc"), *how, home=home, fingerprint=fingerprint)


def main() -> int:
    """Make both; exit code 1 with a reason if that cannot be done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--key", required=True, help="secret key: a file, or an id")
    parser.add_argument("--dist", type=Path, default=ROOT / "dist")
    parser.add_argument("--repository", type=Path)
    options = parser.parse_args()
    target = options.repository or options.dist / "repository"
    debs, rpms = (sorted(options.dist.glob(f"otelauto*.{kind}")) for kind in ("deb", "rpm"))
    if not debs or not rpms:
        sys.stderr.write(f"repository: {options.dist} has no packages: make package\n")
        return 1
    try:
        with tempfile.TemporaryDirectory() as scratch:
            home, fingerprint = keyring(options.key, Path(scratch))
            made = Path(scratch, "repository")
            apt(debs, made / "apt", home=home, fingerprint=fingerprint)
            yum(rpms, made / "yum", home=home, fingerprint=fingerprint)
            public = run("gpg", "--batch", "--armor", "--export", fingerprint, home=home)
            (made / "otelauto.asc").write_text(public)
            (made / "otelauto.sources").write_text(_SOURCES)
            (made / "otelauto.repo").write_text(_REPO)
            if Path(options.key).is_file():
                run("gpgconf", "--kill", "all", home=home)
            # Only a complete repository takes the place of the last one.
            shutil.rmtree(target, ignore_errors=True)
            shutil.move(made, target)
    except RepositoryError as error:
        sys.stderr.write(f"repository: {error}\n")
        return 1
    sys.stdout.write(f"{target}: {len(debs)} .deb, {len(rpms)} .rpm, signed by {fingerprint}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
