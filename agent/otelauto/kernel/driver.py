"""The loaded and attached kernel side, and typed access to its maps.

The only door from the rest of the agent to the kernel programs. Nothing is decided here: what a
target is, what a route is and what a series means is others' business.
"""

from __future__ import annotations

import contextlib
import errno
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otelauto.abi import _layout as abi
from otelauto.errors import LoadError
from otelauto.kernel import headers, source
from otelauto.kernel.attach import Attachments, AttachResult, attach
from otelauto.kernel.bpf import program_info, run_raw_tracepoint, set_program
from otelauto.kernel.image import load_image
from otelauto.kernel.image_store import ImageStore, image_key
from otelauto.kernel.loader import Loaded, LoadRequest, load
from otelauto.kernel.maps import ArrayMap, HashMap, PerCpuArray, possible_cpus
from otelauto.kernel.programs import (
    WITNESSES,
    KernelSettings,
    Way,
    cflags,
    hooks,
    jumps,
    maps,
    programs,
)
from otelauto.kernel.ring import RingReader
from otelauto.kernel.targets import TargetMaps

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from struct import Struct

    from otelauto.kernel.bpf import ProgramInfo
    from otelauto.routes.steps import Update

__all__ = ["Kernel", "PathRecord", "first_pid_namespace"]

#: Inode of the first pid namespace (include/linux/proc_ns.h, PROC_PID_INIT_INO).
_FIRST_PID_NAMESPACE: Final = 0xEFFFFFFC
#: What a full hash map says: of its limit, or of memory for entries made on demand.
_FULL: Final = frozenset({errno.E2BIG, errno.ENOSPC, errno.ENOMEM})
_OVERFLOW_ROLES: Final = (abi.Role.SERVER, abi.Role.CLIENT)


@dataclass(frozen=True, slots=True)
class PathRecord:
    """The text of a path that had no route.

    Attributes:
        text: as it was sent, without query.
        truncated: it is longer than abi.PATH_BYTES.
    """

    text: bytes
    truncated: bool


def first_pid_namespace(proc: Path = Path("/proc")) -> int | None:
    """Inode of the agent's pid namespace; None if it is the first one, whose ids BPF sees."""
    inode = (proc / "self/ns/pid").stat().st_ino
    return None if inode == _FIRST_PID_NAMESPACE else inode


class Kernel:
    """One load of the kernel programs, attached.

    Args:
        settings: what they are built with.
        way: how they are hooked.
        timeout_seconds: for compiling and loading.

    Raises:
        LoadError: they do not compile, load or attach on this host.
    """

    def __init__(self, settings: KernelSettings, way: Way, *, timeout_seconds: float = 60) -> None:
        self.way: Way = way
        self.settings = settings
        self._loaded = _load(settings, way, timeout_seconds)
        self._stack = contextlib.ExitStack()
        self._stack.callback(self._loaded.close)
        try:
            self._open_maps()
            self._attachments = self._stack.enter_context(self._attach())
        except BaseException:
            self._stack.close()
            raise

    @property
    def loaded(self) -> Loaded:
        """How loading went."""
        return self._loaded

    @property
    def degraded(self) -> tuple[AttachResult, ...]:
        """The hooks that this kernel refused, and what that means."""
        return self._attachments.degraded

    def close(self) -> None:
        """Detach everything; the kernel frees programs and maps."""
        self._stack.close()

    # --- targets and services -------------------------------------------------------------------

    def set_target(self, pid: int, service: int) -> None:
        """Make a process a target.

        Raises:
            OSError: the map is full.
        """
        self._targets.set(pid, service)

    def drop_target(self, pid: int) -> None:
        """Make a process none."""
        self._targets.drop(pid)

    def targets(self) -> dict[int, int]:
        """Service id by process id, as the kernel has them."""
        return self._targets.services()

    def open_service(self, service: int, entry: abi.Service) -> bool:
        """Write a new service's routes and begin its overflow series.

        Returns:
            Whether there was room for these; without them, what finds no room for a series of its
            own is only counted as lost.
        """
        self._services.set(service, entry)
        zero = abi.RED_VALUE.unpack(bytes(abi.RED_VALUE.size))
        try:
            for role in _OVERFLOW_ROLES:
                self._red.add(_overflow_key(service, role), zero)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            return False
        return True

    def set_service(self, service: int, entry: abi.Service) -> None:
        """Write a service's routes and policy."""
        self._services.set(service, entry)

    # --- routes ---------------------------------------------------------------------------------

    def put_routes(self, update: Update) -> None:
        """The first part of an update, before the service's entry is written."""
        for step, edge in update.put:
            self._edges.set(step, edge)

    def delete_routes(self, update: Update) -> None:
        """The last part of an update."""
        for step in update.delete:
            self._edges.delete(step)

    def cache_route(self, key: abi.PathKey, route: int, generation: int) -> None:
        """Tell the kernel the route of one path."""
        self._cache.set(key, (route, generation))

    def path(self, key: abi.PathKey) -> PathRecord | None:
        """The text of a path; None if the kernel does not have it any more."""
        found = self._paths.get(key)
        if found is None:
            return None
        record = abi.PathText(*found)
        return PathRecord(record.text[: record.len], bool(record.truncated))

    # --- what was counted -----------------------------------------------------------------------

    def red(self) -> Iterator[tuple[bytes, bytes]]:
        """Every series of the aggregate, as bytes of struct red_key and struct red_value."""
        return self._red.raw_items()

    def delete_red(self, keys: Iterable[bytes]) -> None:
        """Forget series."""
        for key in keys:
            self._red.delete_raw(key)

    def take_red(self, keys: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
        """Forget series, and give what they had counted to the last."""
        taken = ((key, self._red.take_raw(key)) for key in keys)
        return [(key, value) for key, value in taken if value is not None]

    def end_closed(self) -> None:
        """Let the kernel end the connections over unix sockets that have been closed.

        Nothing tells it of their close, but for a peer that reads to the end of the stream.
        """
        for key, _ in list(self._unix_sockets.items()):
            run_raw_tracepoint(self._loaded.programs["unix_look"], key)

    def counts(self) -> Mapping[abi.Count, int]:
        """The kernel's counters, summed over CPUs."""
        totals = self._counts.totals()
        return {count: totals[count][0] for count in abi.Count if count != abi.Count.MAX}

    def program_infos(self) -> dict[str, ProgramInfo]:
        """Run time and run count by program, where the kernel measures them."""
        return {name: program_info(fd) for name, fd in self._loaded.programs.items()}

    # --- events ---------------------------------------------------------------------------------

    def want_events(self, bits: int, *, span_limit: int = 0) -> None:
        """Ask for optional events (abi.EventBit), and for so many spans a second at most.

        Args:
            bits: abi.EventBit.
            span_limit: of the whole host; 0: no bound.
        """
        self._option.set(0, (self.settings.route_seed, bits, span_limit))

    @property
    def events(self) -> RingReader:
        """The event ring, to be waited for and read."""
        return self._ring

    @property
    def span_events(self) -> RingReader | None:
        """The ring of spans; None: the programs make none."""
        return self._span_ring

    # --- set-up ---------------------------------------------------------------------------------

    def _open_maps(self) -> None:
        self._targets = TargetMaps(
            self._hash("targets", abi.U32, abi.TARGET),
            ArrayMap(self._fd("target_slots"), abi.TARGET_SLOT),
        )
        self._services = ArrayMap(self._fd("services"), abi.SERVICE)
        self._edges = self._hash("route_edges", abi.ROUTE_STEP, abi.ROUTE_EDGE)
        self._cache = self._hash("route_cache", abi.PATH_KEY, abi.ROUTE_HIT)
        self._paths = self._hash("paths", abi.PATH_KEY, abi.PATH_TEXT)
        self._red = self._hash("red", abi.RED_KEY, abi.RED_VALUE)
        self._unix_sockets = self._hash("unix_sockets", abi.U64, abi.U32)
        self._option = ArrayMap(self._fd("option"), abi.OPTIONS)
        self.want_events(0)
        self._counts = PerCpuArray(self._fd("counts"), abi.U64, cpus=possible_cpus())
        self._ring = self._stack.enter_context(RingReader(self._fd("events")))
        self._span_ring: RingReader | None = None
        if self.settings.spans:
            self._span_ring = self._stack.enter_context(RingReader(self._fd("span_events")))
        methods = self._hash("methods", abi.METHOD_TEXT, abi.U32)
        for number, text in enumerate(abi.METHODS):
            if number:
                methods.set((text.encode().ljust(abi.METHOD_BYTES, b"\0"),), (number,))
        for index, name in enumerate(jumps(spans=self.settings.spans)):
            set_program(self._fd("jumps"), index, program_fd=self._loaded.programs[name])

    def _attach(self) -> Attachments:
        return attach(hooks(self.way), self._loaded.programs)

    def _hash(self, name: str, key: Struct, value: Struct) -> HashMap:
        return HashMap(self._fd(name), key, value)

    def _fd(self, name: str) -> int:
        return self._loaded.maps[name].fd


def _overflow_key(service: int, role: int) -> tuple[object, ...]:
    fields = dict.fromkeys(abi.RedKey._fields, 0) | {
        "service": service,
        "route": int(abi.Route.OVERFLOW),
        "role": int(role),
        "address": bytes(16),
    }
    return tuple(fields.values())


def _load(settings: KernelSettings, way: Way, timeout_seconds: float) -> Loaded:
    folder = source.bpf_folder()
    found = headers.resolve(settings.headers, folder=folder)
    namespace = first_pid_namespace()
    text = source.expand("main.bpf.c", folder=folder, prelude=found.prelude)
    flags = cflags(settings, way, cpus=possible_cpus(), pid_namespace=namespace)
    if namespace is not None and "OFF_task_struct_thread_pid" in found.missing:
        raise LoadError(
            "the agent runs in a pid namespace, and this kernel does not tell where a task's pid"
            " is",
            hint="run the agent in the host's pid namespace",
        )
    request = LoadRequest(
        source=text.text,
        programs=programs(way, spans=settings.spans),
        maps=maps(spans=settings.spans),
        cflags=(*found.cflags, *flags),
        witnesses=WITNESSES,
        kernel_source=found.kernel_source,
        state_dir=settings.state_dir,
        image=settings.state_dir is not None,
    )
    if settings.state_dir is None:
        return load(request, timeout_seconds=timeout_seconds)
    store = ImageStore(settings.state_dir)
    loads = (program.function for program in request.programs)
    key = image_key((text.sha256, abi.ABI_SHA256, *loads, *request.cflags))
    again = _load_again(store, key, request.maps)
    if again is not None:
        return again
    loaded = load(request, timeout_seconds=timeout_seconds)
    if loaded.image is not None and not loaded.refused:
        store.save(key, loaded.image)
    return loaded


def _load_again(store: ImageStore, key: str, names: Sequence[str]) -> Loaded | None:
    """What an earlier start has compiled; None if there is nothing, or the kernel refuses it."""
    start = time.monotonic()
    image = store.load(key)
    if image is None:
        return None
    try:
        found, opened = load_image(image, names)
    except (OSError, KeyError, ValueError):
        store.drop(key)
        return None
    return Loaded(found, opened, seconds=time.monotonic() - start, image=image)
