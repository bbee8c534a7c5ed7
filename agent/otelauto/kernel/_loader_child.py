"""Compile and load kernel programs with BCC, hand their descriptors over, and exit.

This file is the only one that imports bcc, and it is never imported by the agent: loader.py runs it
as a script with the interpreter for which the distribution built its bcc. So only the standard
library and bcc may be used here, in the syntax of Python 3.6, and BCC 0.18 to the newest must do.

Usage: python3 -I _loader_child.py FD, where FD is one end of a stream socket pair. A message is four
bytes of length (network order) and JSON. One request is read::

    {"source": str, "cflags": [str], "programs": [{"name", "function", "type", "optional"}],
     "maps": [str], "witnesses": [{"map", "part"}], "image": bool, "debug": int}

and one answer written, either of::

    {"ok": true, "programs": [str], "refused": {name: reason}, "maps": [str],
     "layouts": [{"map", "part", "size", "offsets": {member: int}}], "bcc": str, "seconds": {...},
     "image": null or {"maps": [{"name", "type", "key_size", "value_size", "max_entries", "flags"}],
                       "programs": [{"name", "type", "code": base64, "uses": [[offset, map]]}]}}
    {"ok": false, "stage": "bcc" | "compile" | "layout" | "load" | "maps", "message": str,
     "errno": int, "program": str}

After a good answer follow the descriptors, programs first, then maps, in the order of the answer:
messages of one byte with at most 128 descriptors each. What clang and the verifier print goes to
standard error, which is a file of the parent.
"""

import array
import base64
import ctypes
import errno
import json
import os
import select
import signal
import socket
import struct
import sys
import time

MOST_DESCRIPTORS = 128
PR_SET_PDEATHSIG = 1
# BPF_LD | BPF_IMM | BPF_DW, and its source register if the value is a map's descriptor.
LOAD_WIDE = 0x18
PSEUDO_MAP_FD = 1


class Failure(Exception):
    def __init__(self, stage, message, number=0, program=""):
        Exception.__init__(self, message)
        self.answer = {
            "ok": False,
            "stage": stage,
            "message": message,
            "errno": number,
            "program": program,
        }


def receive(channel, count):
    parts = []
    while count:
        part = channel.recv(min(count, 1 << 20))
        if not part:
            raise EOFError("the parent closed the channel")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def receive_message(channel):
    (count,) = struct.unpack("!I", receive(channel, 4))
    return json.loads(receive(channel, count).decode("utf-8"))


def send_message(channel, message):
    content = json.dumps(message).encode("utf-8")
    channel.sendall(struct.pack("!I", len(content)) + content)


def send_descriptors(channel, descriptors):
    for start in range(0, len(descriptors), MOST_DESCRIPTORS):
        part = array.array("i", descriptors[start : start + MOST_DESCRIPTORS])
        channel.sendmsg([b"D"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, part.tobytes())])


def import_bcc():
    try:
        import bcc
    except ImportError as error:
        # A missing binding, or a binding whose shared library is missing: both name it.
        raise Failure("bcc", str(error), errno.ENOENT)
    except (OSError, AttributeError) as error:
        raise Failure("bcc", "the bcc module is broken: %s" % error, errno.ENOEXEC)
    if not hasattr(bcc, "BPF"):
        # An empty folder of that name, or another distribution's package, imports as well.
        raise Failure("bcc", "the bcc module holds no BPF", errno.ENOEXEC)
    return bcc


def compile_module(bcc, request):
    class Module(bcc.BPF):
        def _trace_autoload(self):
            """Nothing is attached by its name: the parent attaches."""

    try:
        return Module(
            text=request["source"].encode("utf-8"),
            cflags=request["cflags"],
            debug=request.get("debug", 0),
        )
    except Exception as error:
        raise Failure("compile", str(error), ctypes.get_errno())


def table_layout(bcc, module, witness):
    name = witness["map"].encode("ascii")
    describe = {
        "key": bcc.lib.bpf_table_key_desc,
        "value": bcc.lib.bpf_table_leaf_desc,
    }[witness["part"]]
    text = describe(module.module, name)
    if not text:
        raise Failure("layout", "no such map: %s" % witness["map"], errno.ENOENT)
    try:
        kind = bcc.BPF._decode_table_type(json.loads(text.decode("utf-8")))
    except KeyError as error:
        raise Failure(
            "layout", "map %s: type %s has no counterpart" % (witness["map"], error), errno.EINVAL
        )
    offsets = {}
    for field in getattr(kind, "_fields_", ()):
        offsets[field[0]] = getattr(kind, field[0]).offset
    return {
        "map": witness["map"],
        "part": witness["part"],
        "size": ctypes.sizeof(kind),
        "offsets": offsets,
    }


def load_programs(module, programs):
    loaded, refused = [], {}
    for program in programs:
        function = program["function"].encode("ascii")
        # One function may be loaded under several types; BCC remembers only its name.
        module.funcs.pop(function, None)
        sys.stderr.write("\n== program %s ==\n" % program["name"])
        sys.stderr.flush()
        ctypes.set_errno(0)
        try:
            handle = module.load_func(function, program["type"])
        except Exception as error:
            number = ctypes.get_errno()
            if not program["optional"]:
                raise Failure("load", str(error), number, program["name"])
            refused[program["name"]] = "%s (errno %d)" % (error, number)
            continue
        loaded.append((program["name"], handle.fd))
    return loaded, refused


def find_maps(bcc, module, names):
    found = []
    for name in names:
        fd = bcc.lib.bpf_table_fd(module.module, name.encode("ascii"))
        if fd < 0:
            raise Failure("maps", "no such map: %s" % name, errno.ENOENT)
        found.append((name, fd))
    return found


def map_specification(name, fd):
    """What the kernel says of a map, as far as another like it can be made from it."""
    fields = {}
    with open("/proc/self/fdinfo/%d" % fd) as lines:
        for line in lines:
            key, _, value = line.partition(":")
            fields[key] = value.strip()
    return {
        "name": name,
        "type": int(fields["map_type"]),
        "key_size": int(fields["key_size"]),
        "value_size": int(fields["value_size"]),
        "max_entries": int(fields["max_entries"]),
        "flags": int(fields["map_flags"], 0),
    }


def image_of(bcc, module, programs):
    """The finished programs, with the numbers of their maps in the place of descriptors."""
    # BCC declares the types of some of its functions only.
    prototype = {"bpf_num_tables": (ctypes.c_size_t, [ctypes.c_void_p])}
    prototype["bpf_table_fd_id"] = (ctypes.c_int, [ctypes.c_void_p, ctypes.c_size_t])
    prototype["bpf_table_name"] = (ctypes.c_char_p, [ctypes.c_void_p, ctypes.c_size_t])
    for name, (result, arguments) in prototype.items():
        getattr(bcc.lib, name).restype = result
        getattr(bcc.lib, name).argtypes = arguments
    names = {}
    for index in range(bcc.lib.bpf_num_tables(module.module)):
        fd = bcc.lib.bpf_table_fd_id(module.module, index)
        names[fd] = bcc.lib.bpf_table_name(module.module, index).decode("ascii")
    numbers, maps, found = {}, [], []
    for program in programs:
        code = bytearray(module.dump_func(program["function"].encode("ascii")))
        uses = []
        at = 0
        while at < len(code):
            opcode, registers, _offset, value = struct.unpack_from("=BBhi", code, at)
            if opcode == LOAD_WIDE and registers >> 4 == PSEUDO_MAP_FD:
                if value not in numbers:
                    numbers[value] = len(maps)
                    maps.append(map_specification(names[value], value))
                uses.append([at, numbers[value]])
                struct.pack_into("=i", code, at + 4, 0)
            at += 16 if opcode == LOAD_WIDE else 8
        found.append(
            {
                "name": program["name"],
                "type": program["type"],
                "code": base64.b64encode(bytes(code)).decode("ascii"),
                "uses": uses,
            }
        )
    return {"maps": maps, "programs": found}


def work(request):
    seconds = {}
    start = time.time()

    def lap(stage):
        seconds[stage] = round(time.time() - start - sum(seconds.values()), 4)

    bcc = import_bcc()
    lap("import")
    module = compile_module(bcc, request)
    lap("compile")
    layouts = [table_layout(bcc, module, witness) for witness in request["witnesses"]]
    programs, refused = load_programs(module, request["programs"])
    maps = find_maps(bcc, module, request["maps"])
    lap("load")
    wanted = [one for one in request["programs"] if one["name"] not in refused]
    image = image_of(bcc, module, wanted) if request.get("image") else None
    answer = {
        "ok": True,
        "programs": [name for name, _ in programs],
        "refused": refused,
        "maps": [name for name, _ in maps],
        "layouts": layouts,
        "bcc": str(getattr(bcc, "__version__", "")),
        "seconds": seconds,
        "image": image,
    }
    # The module must outlive the sending: it owns the descriptors.
    return answer, [fd for _, fd in programs + maps], module


def hung_up(channel):
    poll = select.poll()
    poll.register(channel, 0)  # POLLHUP is always told, also before what was sent is read
    return bool(poll.poll(0))


def main():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=os.dup(int(sys.argv[1])))
    # A parent that ended before the line above sends no signal, but its end of the channel is
    # closed. Its process id tells nothing: it may have ended before this process could ask.
    if hung_up(channel):
        return 1
    try:
        answer, descriptors, _module = work(receive_message(channel))
    except Failure as failure:
        send_message(channel, failure.answer)
        return 1
    send_message(channel, answer)
    send_descriptors(channel, descriptors)
    return 0


if __name__ == "__main__":
    status = 1
    try:
        status = main()
    except Exception:
        import traceback

        traceback.print_exc()
    sys.stderr.flush()
    # Not sys.exit: BCC's clean-up at exit takes time and would detach what nobody attached here.
    os._exit(status)
