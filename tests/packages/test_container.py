"""The container image builds, and its agent works with the documented capabilities alone.

The machine may have no registry: the base is made of a local image. Without a container engine the
agent is run as one would: in the image's root, as root with four capabilities and no others.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request

import pytest
from tests.live.gate import program_reason
from tests.packages.conftest import ROOT, cannot_run
from tests.servers.process import free_port

pytestmark = [pytest.mark.packages, pytest.mark.timeout(900)]

CONTAINER = ROOT / "packaging/container"


def capabilities():
    """Those that the run line gives."""
    text = (ROOT / "packaging/README.md").read_text()
    return re.search(r"--cap-add=(\S+)", text)[1].split(",")


def test_the_run_line_the_quadlet_and_the_unit_have_the_same_capabilities():
    quadlet = re.search(
        r"^AddCapability=(.+)$", (CONTAINER / "otelauto.container").read_text(), re.MULTILINE
    )
    unit = (ROOT / "packaging/systemd/otelauto.service").read_text()
    ambient = re.search(r"^AmbientCapabilities=(.+)$", unit, re.MULTILINE)
    assert capabilities() == quadlet[1].split()
    assert set(capabilities()) == {name.removeprefix("CAP_") for name in ambient[1].split()}


@pytest.fixture(scope="module")
def image_root(images, built, tmp_path_factory):
    """The root directory of the built image, mounted, and its configuration."""
    if reason := program_reason("buildah"):
        cannot_run(reason)
    folder = tmp_path_factory.mktemp("container")
    policy = folder / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    trust = f"--signature-policy={policy}"
    storage = [f"--root={folder}/storage", f"--runroot={folder}/run", "--storage-driver=overlay"]

    def buildah(*arguments):
        command = ["buildah", *storage, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
        assert 0 == done.returncode, done.stderr[-3000:]
        return done.stdout.strip()

    base = buildah("from", "scratch")
    command = ["cp", "-a", f"{images('bookworm')}/.", buildah("mount", base)]
    subprocess.run(command, check=True)
    buildah("commit", trust, "--quiet", "--disable-compression", base, "localhost/base:test")
    context = folder / "context"
    context.mkdir()
    shutil.copy(built.deb, context)
    buildah(
        *("build", trust, "--isolation=chroot", "--network=host", "--tag=localhost/otelauto:test"),
        *("--build-arg=BASE=localhost/base:test", f"--file={CONTAINER}/Containerfile"),
        str(context),
    )
    container = buildah("from", trust, "localhost/otelauto:test")
    told = json.loads(buildah("inspect", "--type=image", "localhost/otelauto:test"))
    yield buildah("mount", container), told["OCIv1"]["config"]
    buildah("umount", "--all")
    buildah("rm", "--all")
    shutil.rmtree(folder, ignore_errors=True)


def test_the_image_starts_the_agent_on_the_configuration_of_the_host(image_root):
    _, config = image_root
    assert ["/usr/bin/otelauto"] == config["Entrypoint"]
    assert ["-config", "/etc/otelauto/otelauto.yml"] == config["Cmd"]


def test_the_agent_in_it_measures_a_server_of_the_host(image_root, tmp_path):
    root, config = image_root
    server, page = free_port(), free_port()
    etc = tmp_path / "etc"
    etc.mkdir()
    (etc / "otelauto.yml").write_text(
        f"ebpf: {{open_port: {server}}}\nservice_name: measured\n"
        f"prometheus_export: {{port: {page}}}\n"
    )
    given = ",".join(f"+{name.lower()}" for name in capabilities())
    mounts = f'mount --bind "{etc}" "{root}/etc/otelauto" && mount --rbind /proc "{root}/proc"'
    mounts += f' && mount --rbind /sys "{root}/sys" && mount -t tmpfs tmpfs "{root}/tmp"'
    program = ["chroot", root, *config["Entrypoint"], *config["Cmd"]]
    drop = [*("setpriv", f"--bounding-set=-all,+sys_chroot,{given}", "--no-new-privs")]
    command = ["unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh", *drop, *program]
    with contextlib.ExitStack() as stack:

        def start(*argv):
            log = stack.enter_context((tmp_path / "log").open("ab"))
            process = subprocess.Popen(argv, stdout=log, stderr=log, cwd="/", env={**os.environ})
            stack.callback(process.wait, 20)
            stack.callback(process.terminate)

        start(sys.executable, "-m", "http.server", "--directory", str(etc), str(server))
        start(*command)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

        def get(url):
            with contextlib.suppress(OSError), opener.open(url, timeout=5) as answer:
                return answer.read().decode()
            return ""

        deadline = time.monotonic() + 60
        while "otelauto_build_info" not in get(f"http://127.0.0.1:{page}/metrics"):
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.2)
        for _ in range(7):
            assert get(f"http://127.0.0.1:{server}/otelauto.yml")
        time.sleep(0.5)
        text = get(f"http://127.0.0.1:{page}/metrics")
    found = re.findall(
        r'^http_server_request_duration_seconds_count\{[^}]*service_name="measured"[^}]*\} (\d+)',
        text,
        re.MULTILINE,
    )
    assert ["7"] == found
