"""The packages are what is promised: reproducible, small, complete, accepted by the linters."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tarfile

import pytest
from tests.packages.conftest import ROOT, build, copy_sources

pytestmark = [pytest.mark.packages, pytest.mark.timeout(600)]

PRIVATE = {"./etc/otelauto/otelauto.env", "./etc/otelauto/otelauto.yml"}


def output(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def members(built):
    """The .deb's files."""
    command = ["dpkg-deb", "--fsys-tarfile", built.deb]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as process,
        tarfile.open(fileobj=process.stdout, mode="r|") as archive,
    ):
        return {member.name.rstrip("/"): member for member in archive}


@pytest.fixture(scope="module")
def unpacked(built, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    subprocess.run(["dpkg-deb", "--extract", built.deb, folder], check=True)
    return folder


def test_two_builds_of_the_same_source_are_equal_byte_for_byte(built, tmp_path):
    again = build(
        copy_sources(tmp_path / "elsewhere", built.source), tmp_path / "dist", "--no-grpc"
    )
    names = sorted(path.name for path in built.dist.iterdir())
    assert names == sorted(path.name for path in again.dist.iterdir())
    for name in names:
        assert (built.dist / name).read_bytes() == (again.dist / name).read_bytes(), name


def test_the_checksums_are_those_of_every_file(built):
    lines = (built.dist / "SHA256SUMS").read_text().splitlines()
    expected = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}"
        for path in sorted(built.dist.iterdir())
        if path.name != "SHA256SUMS"
    ]
    assert expected == lines
    assert 3 == len(lines)


def test_the_installed_size_is_below_60_megabytes(built, members):
    size = sum(member.size for member in members.values())
    files = sum(1 for member in members.values() if member.isfile())
    print(f"{size / 1e6:.1f} MB in {files} files")  # noqa: T201 - the figure is a result
    assert size < 60e6


def test_lintian_finds_nothing(built):
    code, text = output("lintian", "--fail-on=error,warning", "--tag-display-limit=0", built.deb)
    assert (0, []) == (code, re.findall(r"^[EW]: .*$", text, re.MULTILINE))


def test_rpmlint_finds_nothing(built):
    code, text = output("rpmlint", "-c", ROOT / "packaging/rpm/rpmlint.toml", built.rpm)
    assert (0, []) == (code, re.findall(r"^.*: [EW]: .*$", text, re.MULTILINE))


def test_all_files_are_roots_and_only_two_are_private(members):
    modes = {}
    for name, member in members.items():
        # Folders on the way have numbers alone.
        owner = (member.uid, member.uname or "root", member.gname or "root")
        assert (0, "root", "otelauto" if name in PRIVATE else "root") == owner
        modes.setdefault((member.type, member.mode & 0o7777), set()).add(name)
    programs = {
        "./usr/bin/otelauto",
        "./usr/lib/otelauto/bytecode",
        "./usr/share/python3/runtime.d/otelauto.rtupdate",
    }
    assert {
        (tarfile.DIRTYPE, 0o755),
        (tarfile.REGTYPE, 0o644),
        (tarfile.REGTYPE, 0o755),
        (tarfile.REGTYPE, 0o640),
    } == set(modes)
    assert programs == modes[tarfile.REGTYPE, 0o755]
    assert modes[tarfile.REGTYPE, 0o640] == PRIVATE


def test_nothing_compiled_is_for_one_version_of_python(members):
    assert ["./usr/lib/otelauto/vendor/google/_upb/_message.abi3.so"] == [
        name for name in members if name.endswith((".so", ".pyc"))
    ]


def test_both_packages_have_every_staged_file(built, members):
    staged = built.source / "build/package/otelauto/root"
    private = ("usr/lib", "usr/bin", "etc", "usr/share/doc", "usr/share/man")
    expected = {
        f"/{path.relative_to(staged)}"
        for folder in private
        for path in (staged / folder).rglob("*")
        if path.is_file()
    }
    deb = {name.removeprefix(".") for name in members}
    rpm = set(output("rpm", "-qpl", built.rpm)[1].splitlines())
    assert (set(), set()) == (expected - deb, expected - rpm)
    for shell in (
        "bash-completion/completions/otelauto",
        "fish/vendor_completions.d/otelauto.fish",
    ):
        assert f"/usr/share/{shell}" in deb & rpm
    assert "/usr/share/zsh/vendor-completions/_otelauto" in deb
    assert "/usr/share/zsh/site-functions/_otelauto" in rpm


def test_the_kernel_programs_and_the_whole_agent_are_in_it(built, unpacked):
    home = unpacked / "usr/lib/otelauto/agent/otelauto"
    root = built.source
    for source, target in ((root / "bpf", home / "_bpf"), (root / "agent/otelauto", home)):
        wanted = {
            path.relative_to(source)
            for path in source.rglob("*")
            if path.is_file() and path.suffix != ".pyc" and "_bpf" not in path.parts
        }
        assert set() == {name for name in wanted if not (target / name).is_file()}


def test_configuration_files_are_never_overwritten(built):
    conffiles = output("dpkg-deb", "--ctrl-tarfile", built.deb)
    assert 0 == conffiles[0]
    listed = output("dpkg-deb", "--info", built.deb, "conffiles")[1].split()
    assert ["/etc/otelauto/otelauto.env", "/etc/otelauto/otelauto.yml"] == sorted(listed)
    flags = output("rpm", "-qp", "--qf", "[%{FILENAMES} %{FILEFLAGS:fflags}\n]", built.rpm)[1]
    kept = [line.split()[0] for line in flags.splitlines() if line.endswith(" cn")]
    assert sorted(listed) == sorted(kept)


def test_each_vendored_project_is_in_the_bill_of_materials_with_its_locked_hash(built, unpacked):
    bill = json.loads((built.dist / f"otelauto_{built.version}.cdx.json").read_text())
    assert ("CycloneDX", "1.5") == (bill["bomFormat"], bill["specVersion"])
    locked = (ROOT / "packaging/locks/agent.txt").read_text()
    named = set()
    for component in bill["components"]:
        named.add(f"{component['name']}=={component['version']}")
        assert f"sha256:{component['hashes'][0]['content']}" in locked
        assert component["licenses"][0]["license"]["name"] not in {"", "?"}
    assert set(re.findall(r"^\S+==\S+", locked, re.MULTILINE)) == named
    installed = unpacked / "usr/share/doc/otelauto/otelauto.cdx.json"
    assert bill == json.loads(installed.read_text())


def test_the_lock_has_what_the_agent_requires():
    text = (ROOT / "pyproject.toml").read_text()
    required = re.search(r"^dependencies = \[(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    names = {re.split(r"[<>=]", name)[0].lower() for name in re.findall(r'"([^"]+)"', required[1])}
    # gRPC's exporter class is not used; grpcio itself is in the package otelauto-grpc.
    names.discard("opentelemetry-exporter-otlp-proto-grpc")
    locked = (ROOT / "packaging/locks/agent.txt").read_text()
    assert set() == names - set(re.findall(r"^(\S+)==", locked, re.MULTILINE))


@pytest.mark.parametrize("page", ["man1/otelauto.1.gz", "man5/otelauto.yml.5.gz"])
def test_the_man_pages_have_no_warnings(page, unpacked):
    path = unpacked / "usr/share/man" / page
    done = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", path],
        capture_output=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "MANROFFSEQ": "", "LC_ALL": "C.UTF-8", "MANWIDTH": "80"},
    )
    assert (0, b"") == (done.returncode, done.stderr)


def test_the_man_pages_tell_every_option_and_exit_code(unpacked):
    def text(page):
        path = unpacked / "usr/share/man" / page
        command = ["man", "-l", path]
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "200"}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        return re.sub(r".\x08", "", done.stdout)

    configuration = text("man5/otelauto.yml.5.gz")
    for name in (
        "ebpf.open_port",
        "discovery.instrument[].exe_path",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ):
        assert name in configuration
    command = text("man1/otelauto.1.gz")
    for words in ("--config FILE", "--start-condition", "3      this host cannot be instrumented"):
        assert words in command


@pytest.mark.parametrize(
    ("shell", "path"),
    [
        ("bash", "usr/share/bash-completion/completions/otelauto"),
        ("zsh", "usr/share/zsh/vendor-completions/_otelauto"),
        ("fish", "usr/share/fish/vendor_completions.d/otelauto.fish"),
    ],
)
def test_the_completions_are_programs_of_their_shell(shell, path, unpacked):
    assert (0, "") == output(shell, "-n", unpacked / path)


def test_bash_completes_commands_and_their_words(unpacked):
    completions = unpacked / "usr/share/bash-completion/completions/otelauto"

    def completed(*words):
        line = " ".join(f"'{word}'" for word in words)
        script = (
            f"source '{completions}'; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1};"
            ' _otelauto; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        return output("bash", "-c", script)[1].split()

    assert ["check"] == completed("otelauto", "che")
    assert ["effective"] == completed("otelauto", "config", "eff")
    assert ["--start-condition"] == completed("otelauto", "check", "--s")


def test_the_default_configuration_lacks_nothing_but_a_selector(unpacked):
    default = unpacked / "etc/otelauto/otelauto.yml"
    agent = [ROOT / ".venv/bin/python", "-m", "otelauto", "check"]
    code, text = output(*agent, default)
    assert (2, 1) == (code, text.count("\n"))
    assert "nothing is selected" in text
    selecting = unpacked / "selecting.yml"
    selecting.write_text(re.sub(r"(?m)^#(  open_port:)", r"\1", default.read_text()))
    assert (0, f"{selecting}: valid\n") == output(*agent, selecting)


def test_the_unit_is_understood_and_its_exposure_is_at_most_3_5(unpacked):
    unit = unpacked / "usr/lib/systemd/system/otelauto.service"
    code, text = output(
        *("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=35", unit)
    )
    print(text.splitlines()[-1])  # noqa: T201 - the figure is a result
    assert 0 == code, text
    assert "Unknown" not in text


def test_the_drop_in_examples_are_understood(unpacked, tmp_path):
    """Each of them together with the unit, as systemd reads them."""
    unit = unpacked / "usr/lib/systemd/system/otelauto.service"
    examples = sorted((unpacked / "usr/share/doc/otelauto/examples").glob("*.conf"))
    assert 4 == len(examples)
    for example in examples:
        folder = tmp_path / example.stem
        (folder / "otelauto.service.d").mkdir(parents=True)
        (folder / "otelauto.service").write_text(
            re.sub(r"/usr/bin/otelauto", "/bin/true", unit.read_text())
        )
        (folder / "otelauto.service.d" / example.name).write_text(example.read_text())
        _, text = output("systemd-analyze", "verify", "--man=no", folder / "otelauto.service")
        assert [] == [line for line in text.splitlines() if "otelauto.service" in line], text


def test_no_path_that_the_unit_runs_is_writable_by_its_user(members):
    """The service's group owns nothing that it, or root, executes."""
    for name, member in members.items():
        if name.startswith(("./usr", "./etc")):
            assert 0 == member.mode & 0o022
