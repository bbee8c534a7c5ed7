"""Inspects the agent on the machine that it runs on: report.json and logs in a folder.

    inspect_host.py FOLDER

Judges nothing: tests/vm/test_kernels.py does. Whatever fails is a finding, too.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.live.leftovers import _bpf_ids
from tests.load.generator import Load, Target, run_exact
from tests.servers import nginx
from tests.servers.agent import counts, start_agent, until
from tests.servers.process import Supervisor, free_port

from otelauto.kernel import features

LOADGEN = Path("/payload/loadgen")
HERE = Path(__file__).parent
#: Roots of other systems, whose BCC is to compile as well.
OTHERS = Path("/others")
#: Live tests that need neither a compiler nor exact times: the kernel's side of HTTP/1.
LIVE_TESTS = ("cases",)
LIVE_SECONDS = 900
TARGETS = (
    Target("/ok"), Target("/ok", method="POST"), Target("/missing", 404), Target("/error", 500),
    Target("/empty", 204), Target("/files/100k"), Target("/ok", method="HEAD"),
)  # fmt: skip
REQUESTS = 210
WAYS = ("sock", "syscall")
# Emulation takes ten to twenty times as long.
PATIENCE_SECONDS = 240
KINDS = ("prog", "map", "link")


def say(text):
    print(f"otelauto: {time.monotonic():.1f} s: {text}", flush=True)  # noqa: T201 - to the console


def verifier(way):
    """The verdicts by the compiler's suite, this system's under ""."""
    request = output([sys.executable, str(HERE / "request.py"), way], "")
    verify = ["/usr/bin/python3", "-I", str(HERE / "verify.py")]
    found = {"": json.loads(output(verify, request))}
    for root in sorted(OTHERS.iterdir()):
        for name in ("proc", "sys", "payload"):
            subprocess.run(["mount", "--rbind", f"/{name}", str(root / name)], check=True)
        found[root.name] = json.loads(output(["chroot", str(root), *verify], request))
    return found


def output(command, stdin):
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    return done.stdout


def bpf_objects():
    return {kind: sorted(_bpf_ids(kind)) for kind in KINDS}


def settled_objects(before):
    """The objects left over; the kernel frees them a moment after the last descriptor."""
    until(lambda: bpf_objects() == before, timeout_seconds=30)
    return {kind: sorted(set(ids) - set(before[kind])) for kind, ids in bpf_objects().items()}


def losses(samples):
    found = counts(samples, "otelauto_losses_total", ("otelauto_cause",))
    return {cause: number for (cause,), number in found.items() if number}


def counted(agent, expected):
    labels = ("http_request_method", "http_route", "http_response_status_code")
    until(lambda: sum(agent.requests().values()) >= expected, timeout_seconds=30)
    return {" ".join(key): number for key, number in sorted(agent.requests(*labels).items())}


def exchange(way, folder):
    """One agent, exact load on nginx by kept and by short connections, and an orderly end."""
    before = bpf_objects()
    supervisor = Supervisor(folder)
    try:
        port, metrics_port = free_port(), free_port()
        nginx.start(supervisor, folder, nginx.Site(port=port, workers=2))
        patterns = json.dumps(sorted({target.path for target in TARGETS}))
        config = (
            f'discovery:\n  instrument:\n    - open_ports: "{port}"\n'
            f"routes:\n  patterns: {patterns}\nebpf:\n  hook: {way}\n"
        )
        agent = start_agent(
            supervisor, folder, config, metrics_port=metrics_port,
            timeout_seconds=PATIENCE_SECONDS,
        )  # fmt: skip
        say(f"{way}: ready after {agent.ready_seconds:.1f} s")
        for one_shot in (False, True):
            load = Load(port, TARGETS, connections=4, requests=REQUESTS, one_shot=one_shot)
            run_exact(LOADGEN, load)
        log = nginx.access_counts(folder)
        found = {
            "ready_seconds": round(agent.ready_seconds, 2),
            "counted": counted(agent, sum(log.values())),
            "logged": {" ".join(map(str, key)): n for key, n in sorted(log.items())},
            "losses": losses(agent.samples()),
        }
        (folder / f"page-{way}.txt").write_text(agent.page())
        agent.running.process.send_signal(signal.SIGTERM)
        found["exit_code"] = agent.running.process.wait(PATIENCE_SECONDS)
        found["left"] = settled_objects(before)
        found |= restarted(way, supervisor, folder, config, before)
    finally:
        for running in supervisor.running:
            (folder / f"{way}-{running.log.name}.txt").write_text(running.log_text(1 << 20))
        supervisor.stop_all()
    return found


def restarted(way, supervisor, folder, config, before):
    """Started again, from what the first start has kept, and killed."""
    agent = start_agent(
        supervisor, folder, config, metrics_port=free_port(),
        timeout_seconds=PATIENCE_SECONDS,
    )  # fmt: skip
    say(f"{way}: ready again after {agent.ready_seconds:.1f} s")
    os.kill(agent.pid, signal.SIGKILL)
    agent.running.process.wait()
    return {
        "ready_again_seconds": round(agent.ready_seconds, 2),
        "left_by_kill": settled_objects(before),
    }


def live_tests(way, results):
    """The outcomes of live tests with one way of hooking, by pytest's own report."""
    page = results / f"live-{way}.xml"
    files = [f"tests/live/test_http1_{name}.py" for name in LIVE_TESTS]
    # No files are kept, for the disk with the tests is read-only.
    options = ["-v", "--tb=short", "-k", way, "-o", f"timeout={LIVE_SECONDS}"]
    options += [f"--junitxml={page}", "-p", "tests.vm.guest.patience"]
    options += ["-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
    command = [sys.executable, "-m", "pytest", *options]
    # Shown on the console, too: this is what takes long.
    subprocess.run([*command, *files], cwd="/payload", check=False)
    found = {"passed": 0, "failed": {}, "skipped": {}}
    for case in ET.parse(page).getroot().iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        bad = [element for kind in ("failure", "error") for element in case.iter(kind)]
        skipped = case.find("skipped")
        if bad:
            found["failed"][name] = (bad[0].text or "")[-3000:]
        elif skipped is not None:
            found["skipped"][name] = skipped.get("message")
        else:
            found["passed"] += 1
    return found


def attempt(what, *arguments):
    try:
        return what(*arguments)
    except Exception:  # noqa: BLE001 - a finding
        text = traceback.format_exc()
        say(text)
        return {"error": text[-6000:]}


def inspect(results):
    found = features.probe()
    possible = {"sock": found.sock_length and found.task_registers, "syscall": found.sys_exit}
    report = {
        "release": os.uname().release,
        "python": sys.version.split()[0],
        "features": {name: str(getattr(found, name)) for name in found.__slots__},
        "ways": [way for way in WAYS if possible[way]],
        "verifier": {},
        "agent": {},
        "live": {},
    }
    for way in report["ways"]:
        say(f"{way}: verifying")
        report["verifier"][way] = attempt(verifier, way)
        folder = Path("/tmp", way)
        folder.mkdir()
        report["agent"][way] = attempt(exchange, way, folder)
        say(f"{way}: live tests")
        report["live"][way] = attempt(live_tests, way, results)
        for path in folder.glob("*.txt"):
            (results / path.name).write_bytes(path.read_bytes())
    return report


def main():
    results = Path(sys.argv[1])
    say("inspecting")
    report = attempt(inspect, results)
    (results / "report.json").write_text(json.dumps(report, indent=1))


main()
