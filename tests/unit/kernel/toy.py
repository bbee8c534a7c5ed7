"""A small BCC program with every kind of thing that the loader hands over, and its pieces."""

from __future__ import annotations

from otelauto.kernel.bpf import ProgramType
from otelauto.kernel.features import instruction
from otelauto.kernel.loader import LoadRequest, Program
from otelauto.kernel.source import bpf_folder

#: first() counts and jumps to second(), which puts its second argument into the hash and the ring.
SOURCE = """
#include <uapi/linux/ptrace.h>
#include <linux/types.h>
struct event { u32 kind; u32 len; u64 value; };
BPF_TABLE("hash", u64, struct event, seen, 1024);
BPF_PERCPU_ARRAY(counts, u64, 4);
BPF_RINGBUF_OUTPUT(ring, 16);
BPF_PROG_ARRAY(jumps, 4);
int second(struct bpf_raw_tracepoint_args *ctx)
{
    struct event event = { .kind = 2, .len = sizeof(event), .value = ctx->args[1] };
    ring.ringbuf_output(&event, sizeof(event), 0);
    seen.update(&event.value, &event);
    return 5;
}
int first(struct bpf_raw_tracepoint_args *ctx)
{
    int index = 1;
    u64 *count = counts.lookup(&index);
    if (count)
        *count += 1;
    jumps.call(ctx, 2);
    return 3;
}
"""
FIRST = Program("first", ProgramType.RAW_TRACEPOINT)
SECOND = Program("second", ProgramType.RAW_TRACEPOINT)

EXIT = instruction(0x95)


def request(**changes) -> LoadRequest:
    members = {
        "source": SOURCE,
        "programs": [FIRST, SECOND],
        "maps": ["seen", "counts", "ring", "jumps"],
        "kernel_source": bpf_folder(),
    }
    return LoadRequest(**(members | changes))


def returns(value: int) -> bytes:
    """A program that returns a number."""
    return instruction(0xB7, dst=0, imm=value) + EXIT


def copies(dst: int, src: int) -> bytes:
    return instruction(0xBF, dst=dst, src=src)


def moves(dst: int, imm: int) -> bytes:
    return instruction(0xB7, dst=dst, imm=imm)


def puts_in_ring(ring_fd: int, size: int, *, wake: bool = False) -> bytes:
    """A program that puts a record into a ring: its first argument, repeated to this size."""
    words = size // 8
    code = instruction(0x79, dst=6, src=1, off=0)  # r6 = args[0]
    for word in range(words):
        code += instruction(0x7B, dst=10, src=6, off=-8 * (word + 1))
    code += instruction(0x18, dst=1, src=1, imm=ring_fd) + instruction(0)
    code += copies(2, 10) + instruction(0x07, dst=2, imm=-size)
    code += moves(3, size) + moves(4, 0 if wake else 1) + instruction(0x85, imm=130)
    return code + instruction(0x67, dst=0, imm=32) + instruction(0x77, dst=0, imm=32) + EXIT


def leaves_unfinished(ring_fd: int, *, discard: bool) -> bytes:
    """A program that reserves 16 bytes and gives them back (the record stays, marked)."""
    finish = 133 if discard else 132
    code = instruction(0x18, dst=1, src=1, imm=ring_fd) + instruction(0)
    code += moves(2, 16) + moves(3, 0) + instruction(0x85, imm=131)
    code += instruction(0x55, dst=0, off=2, imm=0) + moves(0, 1) + EXIT
    code += instruction(0x7A, dst=0, off=0, imm=9) + instruction(0x7A, dst=0, off=8, imm=9)
    return code + copies(1, 0) + moves(2, 1) + instruction(0x85, imm=finish) + returns(0)
