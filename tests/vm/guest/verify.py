"""What this kernel's verifier says of every program, for one way of hooking: as JSON.

    verify.py WAY

A command of its own, for it needs BCC and with it LLVM's memory.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import bcc

from otelauto.app.compose import _kernel_settings
from otelauto.config.load import load
from otelauto.kernel import headers, source
from otelauto.kernel.maps import possible_cpus
from otelauto.kernel.programs import cflags, programs

CONFIG = 'prometheus_export:\n  port: 9464\ndiscovery:\n  instrument:\n    - open_ports: "80"\n'
LOG_BYTES = 1 << 24
STATISTICS = 4  # BPF_LOG_STATS
EVERYTHING = 2
PROG_LOAD = 5
RAW_TRACEPOINT = 17
SYS_BPF = 321
WORDS = re.compile(
    r"processed (\d+) insns .*?max_states_per_insn (\d+) total_states (\d+) peak_states (\d+)"
)


def compiled(way):
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        file.write(CONFIG)
        file.flush()
        settings = _kernel_settings(load(Path(file.name), environ={}).config, 1)
    folder = source.bpf_folder()
    found = headers.resolve("bundled", folder=folder)
    text = source.expand("main.bpf.c", folder=folder, prelude=found.prelude).text
    flags = cflags(settings, way, cpus=possible_cpus(), pid_namespace=None)
    os.environ["BCC_KERNEL_SOURCE"] = str(found.kernel_source)
    start = time.monotonic()
    module = bcc.BPF(text=text, cflags=[*found.cflags, *flags])
    return module, time.monotonic() - start


def verified(code, level):
    """The errno, the verifier's words, and the seconds that it took."""
    libc = ctypes.CDLL(None, use_errno=True)
    instructions = ctypes.create_string_buffer(code, len(code))
    license_text = ctypes.create_string_buffer(b"GPL")
    log = ctypes.create_string_buffer(LOG_BYTES)
    fields = (
        (RAW_TRACEPOINT, 4), (len(code) // 8, 4), (ctypes.addressof(instructions), 8),
        (ctypes.addressof(license_text), 8), (level, 4), (LOG_BYTES - 1, 4),
        (ctypes.addressof(log), 8),
    )  # fmt: skip
    attributes = b"".join(value.to_bytes(size, "little") for value, size in fields).ljust(
        128, b"\0"
    )
    start = time.monotonic()
    fd = libc.syscall(SYS_BPF, PROG_LOAD, ctypes.c_char_p(attributes), 128)
    seconds = time.monotonic() - start
    number = ctypes.get_errno() if fd < 0 else 0
    if fd >= 0:
        os.close(fd)
    return number, log.value.decode(errors="replace"), seconds


def judged(code):
    number, log, seconds = verified(code, STATISTICS)
    found = WORDS.search(log)
    verdict = {"errno": number, "bytes": len(code), "seconds": round(seconds, 3)}
    if found:
        names = ("instructions", "states_per_instruction", "states", "peak_states")
        verdict |= dict(zip(names, map(int, found.groups()), strict=True))
    if number:
        verdict["words"] = verified(code, EVERYTHING)[1][-4000:]
    return verdict


def main():
    way = sys.argv[1]
    module, seconds = compiled(way)
    answer = {
        program.function: judged(module.dump_func(program.function.encode()))
        for program in programs(way)
    }
    json.dump({"compile_seconds": round(seconds, 2), "programs": answer}, sys.stdout)


main()
