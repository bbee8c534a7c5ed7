# ruff: noqa: INP001, S607 - a program of the scenarios
"""build.py FLAVOR VERSION FOLDER: the stand-in as a .deb with the vendor's names and paths.

Package, unit, user, group, folders, environment file and flags are those of the vendor's package
(``grafana-agent-flow`` or ``alloy``), its maintainer script sources the environment file as theirs
does, and the group may write the configuration's folder, as theirs may.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
RIVER = HERE.parents[2] / "ansible/plugins/plugin_utils/river"
PRODUCTS = {
    "alloy": ("alloy", "alloy", "alloy", "/etc/alloy/config.alloy", "/var/lib/alloy/data"),
    "agent": (
        "grafana-agent-flow",
        "grafana-agent-flow",
        "grafana-agent",
        "/etc/grafana-agent-flow.river",
        "/var/lib/grafana-agent-flow",
    ),
}
UNIT = """\
[Unit]
Description=Vendor-agnostic OpenTelemetry collector (stand-in)
After=network-online.target
[Service]
Restart=always
User={user}
Environment=HOSTNAME=%H
EnvironmentFile=/etc/default/{package}
WorkingDirectory={state}
ExecStart=/usr/bin/{package} run $CUSTOM_ARGS --storage.path={storage} $CONFIG_FILE
ExecReload=/usr/bin/env kill -HUP $MAINPID
TimeoutStopSec=20s
[Install]
WantedBy=multi-user.target
"""
SETTINGS = """\
CONFIG_FILE="{config}"
CUSTOM_ARGS=""
RESTART_ON_UPGRADE=true
"""
POSTINST = """\
#!/bin/sh
set -e
[ -f /etc/default/{package} ] && . /etc/default/{package}
getent group {group} >/dev/null || groupadd --system {group}
getent passwd {user} >/dev/null || useradd --system --no-create-home --gid {group} \\
	--home-dir {state} --shell /sbin/nologin {user}
mkdir -p {storage} $(dirname {config})
chown -R {user}:{group} {state}
chmod 770 {state}
[ {package} != alloy ] || chmod 770 /etc/alloy
[ {package} != alloy ] || chown root:{group} /etc/alloy
chown root:{group} {config}
chmod 640 {config}
[ ! -d /run/systemd/system ] || systemctl daemon-reload
"""
PRERM = """\
#!/bin/sh
set -e
[ -f /etc/default/{package} ] && . /etc/default/{package}
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
	systemctl stop {package}.service || true
fi
"""


def main(flavor: str, version: str, folder: str) -> None:
    """Builds FOLDER/PACKAGE_VERSION-1_all.deb."""
    package, user, group, config, storage = PRODUCTS[flavor]
    state = storage.removesuffix("/data")
    words = {
        "package": package,
        "user": user,
        "group": group,
        "config": config,
        "storage": storage,
        "state": state,
    }
    with tempfile.TemporaryDirectory() as made:
        root = Path(made) / "root"
        program = root / "usr/lib" / package / package
        shutil.copytree(RIVER, program.parent / "river", ignore=shutil.ignore_patterns("__py*"))
        start = "#!/usr/bin/python3 -B\n"
        program.write_text(start + (HERE / "collector.py").read_text())
        program.chmod(0o755)
        binary = root / "usr/bin" / package
        binary.parent.mkdir(parents=True)
        binary.symlink_to(f"/usr/lib/{package}/{package}")
        files = {
            f"usr/lib/systemd/system/{package}.service": UNIT.format(**words),
            f"etc/default/{package}": SETTINGS.format(**words),
            config.lstrip("/"): "",
            "DEBIAN/postinst": POSTINST.format(**words),
            "DEBIAN/prerm": PRERM.format(**words),
            "DEBIAN/conffiles": f"/etc/default/{package}\n{config}\n",
            "DEBIAN/control": (
                f"Package: {package}\nVersion: {version}-1\nArchitecture: all\nDepends: python3\n"
                "Maintainer: The otelauto authors <maintainers@otelauto.example>\n"
                "Description: stand-in for the vendor's collector on test hosts\n"
            ),
        }
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755 if name in ("DEBIAN/postinst", "DEBIAN/prerm") else 0o644)
        out = Path(folder) / f"{package}_{version}-1_all.deb"
        out.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "--build", "-Zgzip", str(root), str(out)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    sys.stdout.write(f"{out}\n")


if __name__ == "__main__":
    main(*sys.argv[1:4])
