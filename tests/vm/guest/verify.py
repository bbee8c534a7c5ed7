"""What this kernel's verifier says of each program of a request, as this BCC compiles it.

    verify.py < REQUEST

JSON from request.py on standard input, JSON on standard output. Only the standard library and bcc,
and syntax of Python 3.6: this runs on systems that are too old for the agent itself.
"""

import ctypes
import json
import os
import re
import sys
import time

LOG_BYTES = 1 << 24
STATISTICS = 4  # BPF_LOG_STATS
EVERYTHING = 2
PROG_LOAD = 5
RAW_TRACEPOINT = 17
SYS_BPF = 321
WORDS = re.compile(
    r"processed (\d+) insns .*?max_states_per_insn (\d+) total_states (\d+) peak_states (\d+)"
)


def verified(code, level):
    """The errno, the verifier's words, and the seconds that it took."""
    libc = ctypes.CDLL(None, use_errno=True)
    instructions = ctypes.create_string_buffer(code, len(code))
    license_text = ctypes.create_string_buffer(b"GPL")
    log = ctypes.create_string_buffer(LOG_BYTES)
    fields = (
        (RAW_TRACEPOINT, 4),
        (len(code) // 8, 4),
        (ctypes.addressof(instructions), 8),
        (ctypes.addressof(license_text), 8),
        (level, 4),
        (LOG_BYTES - 1, 4),
        (ctypes.addressof(log), 8),
    )
    attributes = b"".join(value.to_bytes(size, "little") for value, size in fields)
    attributes = attributes.ljust(128, b"\0")
    start = time.monotonic()
    fd = libc.syscall(SYS_BPF, PROG_LOAD, ctypes.c_char_p(attributes), 128)
    seconds = time.monotonic() - start
    number = ctypes.get_errno() if fd < 0 else 0
    if fd >= 0:
        os.close(fd)
    return number, log.value.decode(errors="replace"), seconds


def compiler():
    """Of the library that this process has mapped."""
    with open("/proc/self/maps") as maps:  # noqa: PTH123 - as short as can be
        found = re.search(r"/libLLVM[-.]?(?:so\.)?(\d+)", maps.read())
    return "LLVM " + found.group(1) if found else "LLVM"


def judged(code):
    number, log, seconds = verified(code, STATISTICS)
    found = WORDS.search(log)
    verdict = {"errno": number, "bytes": len(code), "seconds": round(seconds, 3)}
    if found:
        names = ("instructions", "states_per_instruction", "states", "peak_states")
        verdict.update(zip(names, map(int, found.groups())))  # noqa: B905 - Python 3.6
    if number:
        verdict["words"] = verified(code, EVERYTHING)[1][-4000:]
    return verdict


def main():
    request = json.load(sys.stdin)
    os.environ["BCC_KERNEL_SOURCE"] = request["headers"]
    import bcc  # noqa: PLC0415 - reads the variable above

    class Module(bcc.BPF):
        def _trace_autoload(self):
            """Nothing is attached by its name."""

    start = time.monotonic()
    module = Module(text=request["source"].encode(), cflags=request["cflags"])
    seconds = time.monotonic() - start
    programs = {name: judged(module.dump_func(name.encode())) for name in request["functions"]}
    answer = {"compiler": compiler(), "compile_seconds": round(seconds, 2), "programs": programs}
    json.dump(answer, sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # BCC's clean-up takes time


main()
