from __future__ import annotations

import ast
import json
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from otelauto.kernel import loader

CHILD = Path(loader.__file__).with_name("_loader_child.py")


def imported(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names


def test_it_is_written_in_the_syntax_of_python_3_6():
    assert ast.parse(CHILD.read_text(), feature_version=(3, 6))


def test_it_needs_the_standard_library_and_bcc_only():
    assert {"bcc"} == imported(ast.parse(CHILD.read_text())) - set(sys.stdlib_module_names)


def test_no_other_module_of_the_agent_imports_bcc():
    package = CHILD.parents[1]
    found = {
        path.name
        for path in package.rglob("*.py")
        if "bcc" in imported(ast.parse(path.read_text()))
    }
    assert {CHILD.name} == found


def converse(tmp_path, module: str | None, request: dict) -> tuple[int, dict]:
    """Run it with a false bcc; its status and its answer."""
    ours, theirs = socket.socketpair()
    prepare = ""
    if module is not None:
        (tmp_path / "bcc.py").write_text(module)
        prepare = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "
    else:
        prepare = "import sys; sys.modules['bcc'] = None; "
    code = f"{prepare}import runpy; runpy.run_path({str(CHILD)!r}, run_name='__main__')"
    with ours, theirs:
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", code, str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            stderr=subprocess.DEVNULL,
        )
        theirs.close()
        content = json.dumps(request).encode()
        ours.sendall(struct.pack("!I", len(content)) + content)
        (count,) = struct.unpack("!I", ours.recv(4))
        answer = b""
        while len(answer) < count:
            answer += ours.recv(count - len(answer))
        status = process.wait()
    return status, json.loads(answer)


REQUEST = {"source": "s", "cflags": [], "programs": [], "maps": [], "witnesses": []}


@pytest.mark.parametrize(
    ("module", "stage", "message"),
    [
        (None, "bcc", "import of bcc halted; None in sys.modules"),
        ("import gone_library", "bcc", "No module named 'gone_library'"),
        (
            "raise OSError('libbcc.so.0: cannot open shared object file')",
            "bcc",
            "the bcc module is broken: libbcc.so.0: cannot open shared object file",
        ),
        ("", "bcc", "the bcc module holds no BPF"),
        (
            "class BPF:\n    def __init__(self, **names):\n        raise Exception('no')\n",
            "compile",
            "no",
        ),
    ],
)
def test_a_failure_is_an_answer_with_its_stage(tmp_path, module, stage, message):
    status, answer = converse(tmp_path, module, REQUEST)
    assert (1, False, stage, message) == (
        status, answer["ok"], answer["stage"], answer["message"]
    )  # fmt: skip


FALSE_BCC = """
import os
class lib:
    @staticmethod
    def bpf_table_fd(module, name):
        return os.open("/dev/null", 0) if name == b"m" else -1
class Handle:
    fd = os.open("/dev/null", 0)
class BPF:
    def __init__(self, text, cflags, debug):
        assert isinstance(text, bytes)
        self.module, self.funcs = 1, {}
    def load_func(self, name, kind):
        # BCC keeps what it has loaded by name, and would return it for another type.
        assert name not in self.funcs
        self.funcs[name] = Handle
        if kind == 17:
            raise Exception("refused")
        return Handle
"""


def program(name, kind=2, *, optional=False):
    return {"name": name, "function": "f", "type": kind, "optional": optional}


def test_programs_are_answered_in_order_and_optional_ones_may_be_refused(tmp_path):
    request = REQUEST | {
        "programs": [program("a"), program("b", 17, optional=True), program("c")],
        "maps": ["m"],
    }
    status, answer = converse(tmp_path, FALSE_BCC, request)
    assert 0 == status
    assert (["a", "c"], {"b": "refused (errno 0)"}, ["m"]) == (
        answer["programs"], answer["refused"], answer["maps"]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("request_changes", "stage", "message"),
    [
        ({"programs": [program("b", 17)]}, "load", "refused"),
        ({"maps": ["n"]}, "maps", "no such map: n"),
    ],
)
def test_what_is_required_and_missing_is_a_failure(tmp_path, request_changes, stage, message):
    status, answer = converse(tmp_path, FALSE_BCC, REQUEST | request_changes)
    assert (1, stage, message) == (status, answer["stage"], answer["message"])


def test_a_request_of_a_parent_that_is_gone_already_is_not_worked_on(tmp_path):
    """The parent sent it and ended before the child could ask for a signal at its death."""
    witness = tmp_path / "worked"
    (tmp_path / "bcc.py").write_text(f"open({str(witness)!r}, 'w').close()\nclass BPF: pass\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "
        f"import runpy; runpy.run_path({str(CHILD)!r}, run_name='__main__')"
    )
    ours, theirs = socket.socketpair()
    with ours, theirs:
        content = json.dumps(REQUEST).encode()
        ours.sendall(struct.pack("!I", len(content)) + content)
        ours.close()
        done = subprocess.run(
            [sys.executable, "-I", "-c", code, str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=30,
        )
    assert 1 == done.returncode
    assert not witness.exists()
