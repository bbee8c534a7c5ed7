"""bpf/include against the machine's own user headers, which come from the kernel as well."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess

import pytest

from otelauto.kernel.source import bpf_folder

INCLUDE = bpf_folder() / "include"
GCC = shutil.which("gcc")

pytestmark = pytest.mark.skipif(GCC is None, reason="no gcc")

EVERY = sorted(path.relative_to(INCLUDE) for path in INCLUDE.rglob("*.h"))
MACHINES = {
    "x86_64": ["-D__x86_64__"],
    "aarch64": ["-U__x86_64__", "-D__aarch64__"],
}


def compiled(text: str, *flags: str) -> str:
    """What gcc makes of a text with our headers alone; an error is the test's."""
    assert GCC is not None
    done = subprocess.run(
        [GCC, "-nostdinc", f"-I{INCLUDE}", f"-I{INCLUDE / 'uapi'}", "-include",
         "linux/kconfig.h", "-Wall", "-Werror", *flags, "-x", "c", "-", "-o", "-"],
        input=text, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert 0 == done.returncode, done.stderr
    return done.stdout


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("header", EVERY, ids=str)
def test_every_header_compiles_alone_and_twice(header, machine):
    text = f"#include <{header}>\n#include <{header}>\n"
    compiled(text, "-fsyntax-only", "-Wno-builtin-macro-redefined", *MACHINES[machine])


def test_another_machine_is_an_error_and_not_a_guess():
    with pytest.raises(AssertionError, match="otelauto supports x86_64 and arm64"):
        compiled("", "-fsyntax-only", "-U__x86_64__", "-U__aarch64__")


def test_the_definitions_of_instructions_are_the_kernels():
    assert GCC is not None
    ours = compiled("#include <linux/bpf_common.h>\n", "-E", "-dM")
    theirs = subprocess.run(
        [GCC, "-E", "-dM", "-x", "c", "-"],
        input="#include <linux/bpf_common.h>\n", capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    pattern = re.compile(r"#define\s+(BPF_\w+(?:\(\w+\))?)[ \t]+(.*)")
    known = {name: text.replace(" ", "") for name, text in pattern.findall(theirs)}
    assert known
    found = {name: text.replace(" ", "") for name, text in pattern.findall(ours)}
    assert known == {name: found.get(name) for name in known}


LAYOUTS = """
#include <stddef.h>
#include <stdio.h>
%(headers)s
int main(void)
{
    printf("%%zu %%zu %%zu %%zu\\n", sizeof(struct iovec), offsetof(struct iovec, iov_len),
           sizeof(struct %(msghdr)s), sizeof(struct mmsghdr));
    printf("%%zu %%zu %%zu\\n", offsetof(struct %(msghdr)s, msg_iov),
           offsetof(struct %(msghdr)s, msg_iovlen), offsetof(struct mmsghdr, msg_len));
    return 0;
}
"""


def ran(text: str, folder, *flags: str) -> str:
    assert GCC is not None
    program = folder / "program"
    subprocess.run(
        [GCC, *flags, "-x", "c", "-", "-o", str(program)], input=text, text=True, check=True
    )
    return subprocess.run([program], capture_output=True, text=True, check=True).stdout


def test_the_structures_of_socket_calls_are_those_of_user_space(tmp_path):
    theirs = ran(
        "#define _GNU_SOURCE\n"
        + LAYOUTS % {"headers": "#include <sys/socket.h>", "msghdr": "msghdr"},
        tmp_path,
    )
    # Their names would clash with those of the C library in one file: a text of assertions.
    sizes = [int(part) for part in theirs.split()]
    names = [
        "sizeof(struct iovec)", "offsetof(struct iovec, iov_len)", "sizeof(struct user_msghdr)",
        "sizeof(struct mmsghdr)", "offsetof(struct user_msghdr, msg_iov)",
        "offsetof(struct user_msghdr, msg_iovlen)", "offsetof(struct mmsghdr, msg_len)",
    ]  # fmt: skip
    claims = [
        f'_Static_assert({name} == {size}, "{name}");'
        for name, size in zip(names, sizes, strict=True)
    ]
    compiled("#include <linux/types.h>\n" + "\n".join(claims), "-fsyntax-only")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="registers of x86_64")
def test_the_registers_are_where_the_kernels_user_headers_have_them(tmp_path):
    pairs = {"di": "rdi", "si": "rsi", "dx": "rdx", "r10": "r10", "r8": "r8", "ax": "rax",
             "orig_ax": "orig_rax", "ip": "rip", "sp": "rsp", "ss": "ss"}  # fmt: skip
    prints = "".join(
        f'printf("%zu ", offsetof(struct pt_regs, {theirs}));' for theirs in pairs.values()
    )
    text = (
        "#include <stddef.h>\n#include <stdio.h>\n#include <asm/ptrace.h>\n"
        f"int main(void) {{ {prints} return 0; }}\n"
    )
    offsets = ran(text, tmp_path).split()
    claims = [
        f'_Static_assert(offsetof(struct pt_regs, {ours}) == {offset}, "{ours}");'
        for ours, offset in zip(pairs, offsets, strict=True)
    ]
    compiled("#include <uapi/linux/ptrace.h>\n" + "\n".join(claims), "-fsyntax-only")
