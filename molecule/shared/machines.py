# ruff: noqa: INP001, S607, T201 - a program of the scenarios; its tools are the distribution's
"""Real systemd hosts for the scenarios: systemd-nspawn machines on a bridge of their own.

    machines.py image SUITE                 a root made with mmdebstrap, once, in the cache folder
    machines.py up NETWORK NAME=SUITE...    boots hosts and waits until their SSH answers
    machines.py cut NETWORK                 ends the hosts' only way out
    machines.py down NETWORK                ends them all and leaves nothing
    machines.py dial NETWORK HOST PORT      standard input and output to a port, for SSH

A network is a namespace with one bridge. The hosts' only way out of it is proxy.py, which dials
the package mirrors of this machine's own apt. Standard library only; needs root.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("OTELAUTO_MACHINES") or HERE.parents[1] / ".cache" / "machines")
KEY = CACHE / "id_ed25519"
SUBNET = "10.77.0"
GATEWAY = f"{SUBNET}.1"
PROXY_PORT = 3128
BOOT_SECONDS = 60.0
PACKAGES = [
    *["systemd", "systemd-sysv", "dbus", "openssh-server", "python3", "python3-apt", "iproute2"],
    *["procps", "ca-certificates", "curl", "sudo", "nginx-light", "kmod"],
]
#: What a test host never needs, and what would only slow its boot.
MASKED = [
    *["apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer"],
    *["dpkg-db-backup.timer", "systemd-tmpfiles-clean.timer", "getty@tty1.service"],
    *["console-getty.service", "nginx.service", "systemd-networkd-wait-online.service"],
    *["systemd-timesyncd.service", "systemd-udev-trigger.service", "systemd-hwdb-update.service"],
]
NETWORK_UNIT = """\
[Unit]
Description=The address of this host, and the file systems of tracing
DefaultDependencies=no
Before=basic.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/machine-network
[Install]
WantedBy=sysinit.target
"""
NETWORK_SCRIPT = f"""\
#!/bin/sh
# The address comes in the environment of process 1.
address=$(tr '\\0' '\\n' </proc/1/environ | sed -n 's/^MACHINE_ADDRESS=//p')
mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
mount -t bpf bpf /sys/fs/bpf 2>/dev/null
ip link set lo up; ip link set host0 up
ip address add "$address/24" dev host0
ip route add default via {GATEWAY}
"""


def run(*command: str | Path, **options: object) -> None:
    """A command that must succeed; its output is shown only if it does not."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, **options
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: {done.stdout[-2000:]}{done.stderr[-2000:]}")


def mirrors() -> list[str]:
    """The URIs of this machine's own apt, security last."""
    found: list[str] = []
    for path in [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]:
        if path.is_file():
            words = path.read_text().split()
            found += [w.rstrip("/") for w in words if w.startswith(("http://", "https://"))]
    plain = [uri for uri in dict.fromkeys(found) if uri.endswith(("/debian", "/debian-security"))]
    plain = plain or ["http://deb.debian.org/debian", "http://deb.debian.org/debian-security"]
    return sorted(plain, key=lambda uri: uri.endswith("security"))


def image(suite: str) -> Path:
    """The root of a suite, made if it is not there."""
    root = CACHE / f"{suite}.root"
    if (root / "etc/machine-ready").exists():
        return root
    CACHE.mkdir(parents=True, exist_ok=True)
    if not KEY.exists():
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "otelauto-machines", "-f", KEY)
    shutil.rmtree(root, ignore_errors=True)
    main, *security = mirrors()
    sources = [f"deb {main} {suite} main", f"deb {main} {suite}-updates main"]
    sources += [f"deb {uri} {suite}-security main" for uri in security[:1]]
    run(
        *["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory", "--quiet"],
        *["--include=" + ",".join(PACKAGES), '--aptopt=APT::Install-Recommends "false"'],
        *["--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*"],
        *["--dpkgopt=path-exclude=/usr/share/doc/*", suite, root, *sources],
    )
    _configure(root)
    (root / "etc/machine-ready").touch()
    return root


def _configure(root: Path) -> None:
    (root / "etc/machine-id").write_text("")
    ssh = root / "root/.ssh"
    ssh.mkdir(mode=0o700, exist_ok=True)
    (ssh / "authorized_keys").write_text(KEY.with_suffix(".pub").read_text())
    (root / "etc/ssh/sshd_config.d/machine.conf").write_text("UseDNS no\nPrintMotd no\n")
    proxy = f"http://{GATEWAY}:{PROXY_PORT}"
    (root / "etc/apt/apt.conf.d/98machine").write_text(
        f'Acquire::http::Proxy "{proxy}";\nAcquire::https::Proxy "{proxy}";\n'
        'APT::Install-Recommends "false";\nAcquire::Languages "none";\n'
    )
    units = root / "etc/systemd/system"
    for unit in MASKED:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    (units / "machine-network.service").write_text(NETWORK_UNIT)
    wants = units / "sysinit.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / "machine-network.service").symlink_to("../machine-network.service")
    script = root / "usr/local/sbin/machine-network"
    script.write_text(NETWORK_SCRIPT)
    script.chmod(0o755)
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "etc/resolv.conf").write_text("")
    (root / "usr/sbin/policy-rc.d").unlink(missing_ok=True)
    bundle = Path("/etc/ssl/certs/ca-certificates.crt")
    if bundle.exists():
        shutil.copy(bundle, root / "etc/ssl/certs/ca-certificates.crt")


def up(network: str, hosts: dict[str, str]) -> None:
    """Boot the hosts; those that are up already stay as they are."""
    space = Path("/run/netns") / network
    state = CACHE / "run" / network
    state.mkdir(parents=True, exist_ok=True)
    if not space.exists():
        run("ip", "netns", "add", network)
        for line in (
            "link set lo up",
            "link add lab0 type bridge",
            f"address add {GATEWAY}/24 dev lab0",
            "link set lab0 up",
        ):
            run("ip", "-n", network, *line.split())
        start(state / "proxy", sys.executable, HERE / "proxy.py", space, GATEWAY, str(PROXY_PORT))
    for number, (name, suite) in enumerate(hosts.items()):
        place = state / name
        address = f"{SUBNET}.{11 + number}"
        if not place.exists():
            boot(network, name, place, image(suite), address)
        print(json.dumps({"name": name, "address": address, "network": network, "key": str(KEY)}))
    sys.stdout.flush()
    for number, name in enumerate(hosts):
        await_ssh(network, f"{SUBNET}.{11 + number}", state / name)


def boot(network: str, name: str, place: Path, root: Path, address: str) -> None:
    """One host, an overlay over the root of its suite."""
    for part in ("upper", "work", "root"):
        (place / part).mkdir(parents=True)
    layers = f"lowerdir={root},upperdir={place}/upper,workdir={place}/work"
    run("mount", "-t", "overlay", f"machine-{name}", "-o", layers, place / "root")
    (place / "root/etc/hostname").write_text(name + "\n")
    (place / "root/etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {name}\n")
    settings = {
        "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
        "SYSTEMD_SECCOMP": "0",
        "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "yes",
        "SYSTEMD_NSPAWN_LOCK": "0",
    }
    start(
        place / "console",
        *["nsenter", f"--net=/run/netns/{network}", "systemd-nspawn", "--quiet", "--boot"],
        *[f"--directory={place}/root", f"--machine={network}-{name}", "--register=no"],
        *["--keep-unit", "--capability=all", "--network-bridge=lab0", "--resolv-conf=off"],
        *["--timezone=off", "--link-journal=no", f"--setenv=MACHINE_ADDRESS={address}"],
        environment=settings,
    )


def start(place: Path, *command: str | Path, environment: dict[str, str] | None = None) -> None:
    """A process that outlives this one; its id stands in PLACE.pid and its output in PLACE.log."""
    with place.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
    place.with_suffix(".pid").write_text(str(process.pid))


def await_ssh(network: str, address: str, place: Path) -> None:
    """Wait for the greeting of the host's SSH server."""
    enter(network)
    end = time.monotonic() + BOOT_SECONDS
    while time.monotonic() < end:
        if greets(address):
            return
        time.sleep(0.2)
    tail = (place / "console.log").read_text(errors="replace")[-2000:]
    sys.exit(f"{place.name}: no SSH after {BOOT_SECONDS:.0f} s\n{tail}")


def greets(address: str) -> bool:
    """Whether an SSH server answers there."""
    try:
        with socket.create_connection((address, 22), timeout=2) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def enter(network: str) -> None:
    """Move this process into the network."""
    with Path("/run/netns", network).open() as space:
        if ctypes.CDLL(None, use_errno=True).setns(space.fileno(), 0x40000000):
            sys.exit(f"no network {network}: {os.strerror(ctypes.get_errno())}")


def down(network: str) -> None:
    """End every process that was started for the network, and remove what it left."""
    state = CACHE / "run" / network
    for pid_file in state.glob("*/console.pid"):
        leader = int(pid_file.read_text())
        children = Path(f"/proc/{leader}/task/{leader}/children")
        # The container's process 1 ignores everything but this, which ends its whole namespace.
        for child in children.read_text().split() if children.exists() else []:
            kill(int(child), signal.SIGKILL)
        wait_gone(leader)
        subprocess.run(["umount", "-l", pid_file.parent / "root"], check=False)
        shutil.rmtree(pid_file.parent, ignore_errors=True)
    cut(network)
    # SSH keeps connections open for a while; whoever carries one keeps the network.
    for pid_file in state.glob("dial/*"):
        line = Path(f"/proc/{pid_file.name}/cmdline")
        if line.exists() and network.encode() in line.read_bytes().split(b"\0"):
            kill(int(pid_file.name), signal.SIGTERM)
    subprocess.run(["ip", "netns", "delete", network], capture_output=True, check=False)
    shutil.rmtree(state, ignore_errors=True)


def cut(network: str) -> None:
    """End the proxy of a network."""
    proxy = CACHE / "run" / network / "proxy.pid"
    if proxy.exists():
        kill(int(proxy.read_text()), signal.SIGTERM)
        proxy.unlink()


def kill(pid: int, number: int) -> None:
    """A signal to a process that may have ended."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def wait_gone(pid: int) -> None:
    """Wait until a process has ended; after ten seconds it is killed."""
    end = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
            return
        time.sleep(0.1)
    kill(pid, signal.SIGKILL)


def dial(network: str, host: str, port: str) -> None:
    """Copy standard input and output to and from a port inside the network."""
    enter(network)
    carriers = CACHE / "run" / network / "dial"
    carriers.mkdir(exist_ok=True)
    (carriers / str(os.getpid())).touch()
    connection = socket.create_connection((host, int(port)), timeout=10)
    connection.settimeout(None)

    def forth() -> None:
        while sent := os.read(0, 65536):
            connection.sendall(sent)
        # SSH has ended, and nobody waits for what may still come.
        os._exit(0)

    threading.Thread(target=forth, daemon=True).start()
    while received := connection.recv(65536):
        os.write(1, received)


def main(arguments: list[str]) -> None:
    """The commands of the module's docstring."""
    match arguments:
        case ["image", suite]:
            print(image(suite))
        case ["up", network, *hosts]:
            up(network, dict(host.split("=", 1) for host in hosts))
        case ["cut", network]:
            cut(network)
        case ["down", network]:
            down(network)
        case ["dial", network, host, port]:
            dial(network, host, port)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
