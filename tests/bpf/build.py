"""Compiles the kernel sources with the host's compiler. Nothing else may live here."""

from __future__ import annotations

import subprocess
from hashlib import sha256
from pathlib import Path

__all__ = ["HERE", "KERNEL_FLAGS", "compile_library"]

HERE = Path(__file__).parent
FLAGS = ("-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
# Written for clang, and functions in headers of which a test uses only some.
ALLOWED = ("-Wno-unknown-pragmas", "-Wno-unused-function")
#: For host_kernel.c: every probe has its context, every map its accessors.
KERNEL_FLAGS = ("-Wno-unused-variable", "-Wno-unused-parameter")


def compile_library(source: str, folder: Path, *flags: str) -> Path:
    """Compile tests/bpf/<source> to a shared library in the folder; a warning is an error.

    Raises:
        subprocess.CalledProcessError: it does not compile; what gcc says is on stderr.
    """
    digest = sha256("\0".join(flags).encode()).hexdigest()[:8]
    library = folder / f"{Path(source).stem}-{digest}.so"
    argv = ["gcc", *FLAGS, *ALLOWED, *flags, "-o", str(library), str(HERE / source)]
    subprocess.run(argv, check=True, timeout=60)
    return library
