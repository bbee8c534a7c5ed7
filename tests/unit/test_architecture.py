"""The shape of the agent, which no single module can see: layers, sizes, twins, cheap imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "agent" / "otelauto"
TESTS = ROOT / "tests"

#: Left to right: a part may import itself and the parts to its left. The first group is one layer.
LAYERS = (
    ("errors", "model", "options", "typing", "logs"),
    ("abi",), ("routes",), ("config",), ("kernel",), ("discovery",), ("metrics",), ("spans",),
    ("export",), ("life",), ("doctor",), ("top",), ("app",), ("cli",),
)  # fmt: skip
#: Runs on the distribution's Python, alone: it is no part of the agent's imports.
LOADER_CHILD = PACKAGE / "kernel" / "_loader_child.py"
GENERATED = PACKAGE / "abi" / "_layout.py"
#: Twins that live elsewhere, with the reason.
OTHER_TWINS = {
    GENERATED: "tests/bpf/test_abi_layout.py",  # proved against the compiler, with the C tests
}
MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 400
#: Importing these takes tens of milliseconds and of megabytes; only what needs them may pay.
HEAVY = ("opentelemetry", "grpc", "prometheus_client", "google.protobuf", "requests", "bcc")

MODULES = sorted(PACKAGE.rglob("*.py"))
HAND_WRITTEN = [path for path in MODULES if path != GENERATED]
TYPED = [path for path in HAND_WRITTEN if path != LOADER_CHILD]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part_of(module: str) -> str:
    """otelauto.kernel.loader -> kernel; otelauto itself -> ""."""
    names = module.split(".")
    return names[1] if len(names) > 1 else ""


def layer_of(part: str) -> int:
    return next(number for number, layer in enumerate(LAYERS) if part in layer)


@cache
def imports(path: Path) -> frozenset[str]:
    """Full names of the modules that a file imports, TYPE_CHECKING and local imports included."""
    known = {module_name(other) for other in MODULES}
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{relative(path)}:{node.lineno}: relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in known else str(node.module))
    return frozenset(found)


@pytest.mark.parametrize("path", TYPED, ids=relative)
def test_imports_go_only_to_the_left(path):
    """A module imports from its own part and from those left of it in LAYERS."""
    own = part_of(module_name(path))
    if own in {"", "__main__"}:
        return  # the package itself says its version; __main__ starts the command line
    parts = {part_of(name) for name in imports(path) if name.startswith("otelauto.")}
    right = {part for part in parts - {own} if layer_of(part) > layer_of(own)}
    assert set() == right


def test_every_part_has_its_place_in_the_layers():
    parts = {part_of(module_name(path)) for path in MODULES} - {"", "__main__"}
    assert set() == parts - {part for layer in LAYERS for part in layer}


def test_no_module_imports_itself_by_way_of_others():
    graph = {
        module_name(path): {name for name in imports(path) if name.startswith("otelauto")}
        for path in TYPED
    }
    finished: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in finished:
            for other in graph.get(name, set()) - {name}:
                visit(other, (*trail, name))
            finished.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("path", TYPED, ids=relative)
def test_nothing_but_the_loader_child_imports_bcc(path):
    assert not [name for name in imports(path) if name.split(".")[0] == "bcc"]


def test_the_loader_child_needs_only_the_standard_library_and_bcc():
    if not LOADER_CHILD.exists():
        pytest.fail(f"{relative(LOADER_CHILD)} is missing")
    names = {name.split(".")[0] for name in imports(LOADER_CHILD)}
    assert set() == names - set(sys.stdlib_module_names) - {"bcc"}


@pytest.mark.parametrize("path", TYPED, ids=relative)
def test_annotations_are_never_evaluated_at_run_time(path):
    if not tree(path).body[1:]:
        return  # a docstring only
    futures = [
        node
        for node in tree(path).body
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
    ]
    assert ["annotations"] == [alias.name for node in futures for alias in node.names]


@pytest.mark.parametrize("path", HAND_WRITTEN, ids=relative)
def test_every_module_says_what_may_live_in_it(path):
    assert ast.get_docstring(tree(path)) is not None


@pytest.mark.parametrize("path", TYPED, ids=relative)
def test_public_modules_list_their_names(path):
    if path.name.startswith("_"):
        return
    names = [
        target.id
        for node in tree(path).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    assert "__all__" in names


@pytest.mark.parametrize("path", HAND_WRITTEN, ids=relative)
def test_functions_fit_a_screen(path):
    long = {
        f"{node.name}, line {node.lineno}": node.end_lineno - node.lineno + 1
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno + 1 > MAX_FUNCTION_LINES
    }
    assert {} == long


def test_files_stay_small():
    sources = [*HAND_WRITTEN, *sorted((ROOT / "bpf").rglob("*.[ch]"))]
    own = [path for path in sources if "include" not in path.relative_to(ROOT).parts]
    sizes = {relative(path): len(path.read_text().splitlines()) for path in own}
    assert {} == {name: size for name, size in sizes.items() if size > MAX_FILE_LINES}


@pytest.mark.parametrize("path", HAND_WRITTEN, ids=relative)
def test_no_name_hides_what_is_inside(path):
    vague = {"utils", "util", "helpers", "helper", "manager", "common", "misc", "data"}
    assert set() == vague & {part.strip("_") for part in path.with_suffix("").parts}


def twin_of(path: Path) -> Path:
    inside = path.relative_to(PACKAGE)
    return TESTS / "unit" / inside.parent / f"test_{inside.name}"


@pytest.mark.parametrize("path", [p for p in MODULES if p.name != "__init__.py"], ids=relative)
def test_every_module_has_a_test_twin(path):
    """agent/otelauto/x/y.py is tested by tests/unit/x/test_y.py; y may start with _."""
    inside = path.relative_to(PACKAGE)
    bare = TESTS / "unit" / inside.parent / f"test_{inside.name.lstrip('_')}"
    candidates = [twin_of(path), bare]
    if path in OTHER_TWINS:
        candidates = [ROOT / OTHER_TWINS[path]]
    assert any(twin.exists() for twin in candidates), f"write {relative(candidates[0])}"


def is_work(node: ast.stmt) -> bool:
    """Whether a statement at module level does something beyond naming things."""
    if isinstance(node, ast.For | ast.While | ast.With | ast.Try | ast.Delete):
        return True
    return isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)


@pytest.mark.parametrize("path", TYPED, ids=relative)
def test_importing_a_module_does_no_work(path):
    if path.name == "__main__.py":
        return
    found = [f"line {node.lineno}" for node in tree(path).body if is_work(node)]
    assert [] == found


def imported_by(module: str) -> set[str]:
    """Top-level names in sys.modules after a fresh interpreter has imported the module."""
    code = f"import sys, {module}; print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return set(done.stdout.split())


def is_lean(path: Path) -> bool:
    """The exporters' private modules are imported when an exporter of their kind starts."""
    return not (path.parent.name == "export" and path.name.startswith("_"))


@pytest.mark.parametrize("path", [path for path in TYPED if is_lean(path)], ids=relative)
def test_importing_loads_no_heavy_package(path):
    """Start time and memory are measured: what is heavy is imported where it is used."""
    heavy = {
        name
        for name in imported_by(module_name(path))
        if any(name == package or name.startswith(package + ".") for package in HEAVY)
    }
    assert set() == heavy
