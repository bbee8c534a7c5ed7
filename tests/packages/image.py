"""Debian root directories to make hosts of, built once and kept.

An image is what its recipe says: a change of the recipe makes another one. It is never written to
afterwards: hosts are overlays of it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

__all__ = ["SUITES", "ImageError", "image"]

SUITES = ("bookworm", "trixie")

#: What a host of a fleet has; the packages' own dependencies, since there is no network inside.
_PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "python3-bpfcc", "nginx-light", "curl"),
    *("iproute2", "procps", "ca-certificates"),
    # To install the other kind of package beside Debian's own.
    "rpm",
)
_OPTIONS = (
    '--aptopt=APT::Install-Recommends "false"',
    '--aptopt=Acquire::Languages "none"',
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-include=/usr/share/doc/otelauto*",
)
#: What a test host does not need at its start, or cannot do in a container.
_MASKED = (
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer"),
    *("fstrim.timer", "man-db.timer", "getty@tty1.service", "console-getty.service"),
    *("systemd-networkd-wait-online.service", "systemd-timesyncd.service"),
    *("systemd-resolved.service", "systemd-networkd.service", "systemd-modules-load.service"),
)
_FALLBACK = ("http://deb.debian.org/debian", "http://deb.debian.org/debian-security")


class ImageError(Exception):
    """An image cannot be built."""


def image(suite: str) -> Path:
    """The root directory of a suite; built if it is not there yet (half a minute).

    Raises:
        ImageError: mmdebstrap failed; says its last lines.
    """
    recipe = repr((suite, _PACKAGES, _OPTIONS, _MASKED, 3))
    name = f"{suite}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(base, "otelauto", "images")
    folder.mkdir(parents=True, exist_ok=True)
    # Two runs at once build it once.
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / name
        if not done.is_dir():
            scratch = folder / f"{name}.new"
            shutil.rmtree(scratch, ignore_errors=True)
            _build(suite, scratch)
            _configure(scratch)
            scratch.rename(done)
    return done


def _mirrors() -> tuple[str, str]:
    """The mirrors that this machine's own apt uses: of Debian, and of its security updates."""
    text = ""
    for pattern in ("sources.list", "sources.list.d/*"):
        for path in Path("/etc/apt").glob(pattern):
            if path.is_file():
                text += path.read_text(errors="replace") + "\n"
    debian = re.search(r"https?://\S+/debian/?(?=\s|$)", text)
    security = re.search(r"https?://\S+/debian-security/?(?=\s|$)", text)
    return (
        debian[0] if debian else _FALLBACK[0],
        security[0] if security else _FALLBACK[1],
    )


def _build(suite: str, root: Path) -> None:
    main, security = _mirrors()
    command = [
        *("mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory"),
        *("--components=main", f"--include={','.join(_PACKAGES)}"),
        "--hook-dir=/usr/share/mmdebstrap/hooks/maybe-merged-usr",
        *_OPTIONS,
        *(suite, str(root)),
        f"deb {main} {suite} main",
        f"deb {main} {suite}-updates main",
        f"deb {security} {suite}-security main",
    ]
    environment = {**os.environ, "INITRD": "No"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        shutil.rmtree(root, ignore_errors=True)
        raise ImageError(f"mmdebstrap {suite} failed:\n{done.stderr[-2000:]}")


def _configure(root: Path) -> None:
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
    (root / "etc/machine-id").write_text("")
    (root / "etc/fstab").write_text("")
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "etc/resolv.conf").write_text("")
    units = root / "etc/systemd/system"
    for unit in _MASKED:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    # A host lives for a minute: nothing of it needs to survive a loss of power.
    (root / "etc/dpkg/dpkg.cfg.d/unsafe-io").write_text("force-unsafe-io\n")
    journal = root / "etc/systemd/journald.conf.d"
    journal.mkdir(parents=True, exist_ok=True)
    (journal / "volatile.conf").write_text("[Journal]\nStorage=volatile\nRateLimitBurst=0\n")
