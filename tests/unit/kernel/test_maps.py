from __future__ import annotations

import errno
import os
from struct import Struct

import pytest

from otelauto.kernel import maps
from otelauto.kernel.bpf import MapType, create_map
from otelauto.kernel.maps import ArrayMap, HashMap, PerCpuArray, possible_cpus
from otelauto.kernel.syscalls import ENOTSUPP, Command, kernel_error

KEY, VALUE = Struct("=IB3x"), Struct("=QH6x")


@pytest.mark.parametrize(
    ("text", "expected"), [("0\n", 1), ("0-1\n", 2), ("0-3,8-11\n", 12), ("0,2\n", 3)]
)
def test_possible_cpus_are_counted_to_the_highest_number(tmp_path, text, expected):
    path = tmp_path / "sys/devices/system/cpu/possible"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert expected == possible_cpus(tmp_path)


def test_without_sysfs_there_is_no_number_of_cpus(tmp_path):
    with pytest.raises(FileNotFoundError):
        possible_cpus(tmp_path)


@pytest.fixture
def table(keep):
    fd = create_map(
        MapType.HASH, key_size=KEY.size, value_size=VALUE.size, max_entries=2000, name="table"
    )
    return HashMap(keep(fd), KEY, VALUE)


@pytest.mark.live
class TestHashMap:
    def test_what_is_set_is_got_until_it_is_deleted(self, table):
        table.set((7, 1), (1 << 40, 9))
        assert (1 << 40, 9) == table.get((7, 1))
        assert table.delete((7, 1)) is True
        assert table.delete((7, 1)) is False
        assert table.get((7, 1)) is None

    def test_add_never_replaces_and_replace_never_adds(self, table):
        assert table.replace((1, 0), (1, 0)) is False
        assert table.add((1, 0), (2, 0)) is True
        assert table.add((1, 0), (3, 0)) is False
        assert (2, 0) == table.get((1, 0))
        assert table.replace((1, 0), (4, 0)) is True
        assert (4, 0) == table.get((1, 0))

    @pytest.mark.parametrize("count", [0, 1, 511, 512, 513, 2000])
    def test_every_entry_is_read_once(self, table, count):
        expected = {(number, 2): (number * 3, 1) for number in range(count)}
        for key, value in expected.items():
            table.set(key, value)
        found = list(table.items())
        assert expected == dict(found)
        assert count == len(found)

    def test_draining_returns_and_removes_every_entry(self, table):
        for number in range(700):
            table.set((number, 0), (number, 0))
        assert 700 == len(dict(table.drain()))
        assert [] == list(table.items())

    @pytest.mark.parametrize("number", [errno.EINVAL, ENOTSUPP])
    def test_a_kernel_without_batches_gives_the_same(self, table, monkeypatch, number):
        real = maps.bpf

        def without_batches(command, attr, *, what=""):
            if command in {Command.MAP_LOOKUP_BATCH, Command.MAP_LOOKUP_AND_DELETE_BATCH}:
                raise kernel_error(number, what)
            return real(command, attr, what=what)

        monkeypatch.setattr(maps, "bpf", without_batches)
        expected = {(number, 0): (number, 0) for number in range(700)}
        for key, value in expected.items():
            table.set(key, value)
        assert expected == dict(table.items())
        assert 700 == len(dict(table.drain()))
        assert [] == list(table.items())

    def test_an_entry_is_taken_with_its_last_value_once(self, table):
        table.set((7, 1), (1 << 40, 9))
        key = KEY.pack(7, 1)
        assert VALUE.pack(1 << 40, 9) == table.take_raw(key)
        assert table.take_raw(key) is None
        assert [] == list(table.items())

    def test_a_kernel_that_cannot_take_looks_up_and_deletes(self, table, monkeypatch):
        real = maps.bpf

        def without_taking(command, attr, *, what=""):
            if command == Command.MAP_LOOKUP_AND_DELETE_ELEM:
                raise kernel_error(ENOTSUPP, what)
            return real(command, attr, what=what)

        monkeypatch.setattr(maps, "bpf", without_taking)
        table.set((7, 1), (5, 9))
        found = [table.take_raw(KEY.pack(7, 1)) for _ in range(2)]
        assert [VALUE.pack(5, 9), None] == found
        assert [] == list(table.items())

    def test_a_closed_map_cannot_be_taken_from(self, table, monkeypatch):
        monkeypatch.setattr(table, "fd", 999_999)
        with pytest.raises(OSError, match="Bad file descriptor"):
            table.take_raw(KEY.pack(7, 1))

    def test_a_bucket_longer_than_the_buffers_is_read_with_longer_ones(self, table, monkeypatch):
        monkeypatch.setattr(maps, "_BATCH_ENTRIES", 1)
        for number in range(900):
            table.set((number, 0), (number, 0))
        assert set(range(900)) == {key[0] for key, _ in table.items()}

    def test_a_full_map_says_so(self, keep):
        fd = keep(create_map(MapType.HASH, key_size=8, value_size=16, max_entries=1, name="tiny"))
        tiny = HashMap(fd, KEY, VALUE)
        tiny.set((1, 0), (1, 0))
        with pytest.raises(OSError, match="tiny") as caught:
            tiny.set((2, 0), (1, 0))
        assert errno.E2BIG == caught.value.errno

    def test_an_lru_map_is_read_in_batches_too(self, keep):
        fd = keep(create_map(MapType.LRU_HASH, key_size=8, value_size=16, max_entries=4096))
        table = HashMap(fd, KEY, VALUE)
        for number in range(100):
            table.set((number, 0), (number, 0))
        assert 100 == len(dict(table.raw_items()))

    def test_formats_of_other_sizes_are_refused(self, table):
        with pytest.raises(ValueError, match="map table: key and value have 8 and 16 bytes in"):
            HashMap(table.fd, Struct("=Q"), Struct("=Q"))

    @pytest.mark.parametrize(
        ("kind", "make"),
        [
            (MapType.PERCPU_HASH, lambda fd: HashMap(fd, Struct("=I"), Struct("=Q"))),
            (MapType.PERCPU_ARRAY, lambda fd: ArrayMap(fd, Struct("=Q"))),
            (MapType.ARRAY, lambda fd: PerCpuArray(fd, Struct("=Q"))),
        ],
    )
    def test_a_map_whose_values_are_longer_than_they_seem_is_refused(self, keep, kind, make):
        """The kernel would write one value a CPU into memory for one."""
        fd = keep(create_map(kind, key_size=4, value_size=8, max_entries=1))
        with pytest.raises(ValueError, match=f"has type {int(kind)}: not for"):
            make(fd)

    def test_a_closed_descriptor_is_an_error(self, table):
        other = HashMap(os.dup(table.fd), KEY, VALUE)
        os.close(other.fd)
        with pytest.raises(OSError, match="table") as caught:
            other.get((1, 0))
        assert errno.EBADF == caught.value.errno


@pytest.mark.live
class TestArrayMap:
    def test_every_index_exists_and_is_zero_at_first(self, keep):
        fd = keep(create_map(MapType.ARRAY, key_size=4, value_size=16, max_entries=3, name="a"))
        array = ArrayMap(fd, VALUE)
        array.set(2, (5, 6))
        assert [(0, 0), (0, 0), (5, 6)] == [array.get(index) for index in range(3)]

    def test_an_index_beyond_the_end_is_an_index_error(self, keep):
        fd = keep(create_map(MapType.ARRAY, key_size=4, value_size=16, max_entries=3, name="a"))
        array = ArrayMap(fd, VALUE)
        with pytest.raises(IndexError, match="map a has 3 entries, not 4"):
            array.get(3)
        with pytest.raises(IndexError, match="map a has 3 entries, not 4"):
            array.set(3, (0, 0))


@pytest.mark.live
class TestPerCpuArray:
    def test_values_of_all_possible_cpus_are_summed_by_member(self, keep):
        cpus = possible_cpus()
        # 12 bytes: the kernel spaces them by 16.
        fd = keep(create_map(MapType.PERCPU_ARRAY, key_size=4, value_size=12, max_entries=2))
        array = PerCpuArray(fd, Struct("=III"), cpus=cpus)
        per_cpu = b"".join(Struct("=III4x").pack(1, cpu, 10) for cpu in range(cpus))
        array._update(Struct("=I").pack(1), per_cpu, 0)
        assert tuple((1, cpu, 10) for cpu in range(cpus)) == array.get(1)
        assert (cpus, sum(range(cpus)), 10 * cpus) == array.total(1)
        assert [(0, 0, 0), array.total(1)] == array.totals()

    def test_too_few_cpus_are_refused(self, keep):
        fd = keep(create_map(MapType.PERCPU_ARRAY, key_size=4, value_size=8, max_entries=1))
        with pytest.raises(ValueError, match="CPUs are possible, not 0"):
            PerCpuArray(fd, Struct("=Q"), cpus=0)

    def test_an_index_beyond_the_end_is_an_index_error(self, keep):
        fd = keep(create_map(MapType.PERCPU_ARRAY, key_size=4, value_size=8, max_entries=1))
        with pytest.raises(IndexError):
            PerCpuArray(fd, Struct("=Q"), cpus=possible_cpus()).get(1)
