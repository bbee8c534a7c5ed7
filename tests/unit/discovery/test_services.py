from __future__ import annotations

from otelauto.discovery.services import ServiceTable
from otelauto.model import Service

OLD = Service("a", "n", "i", (("service.version", "1"),))
NEW = Service("a", "n", "i", (("service.version", "2"),))


def test_first_attributes_count_while_any_process_lives():
    table = ServiceTable()
    table.hold(OLD)
    assert table.canonical(NEW) == OLD
    table.hold(OLD)
    table.release(OLD)
    assert table.canonical(NEW) == OLD
    table.release(OLD)
    assert table.canonical(NEW) == NEW


def test_only_holder_may_change_its_attributes():
    table = ServiceTable()
    table.hold(OLD)
    assert table.canonical(NEW, OLD) == NEW
    table.hold(OLD)
    assert table.canonical(NEW, OLD) == OLD


def test_handing_over_keeps_the_newer_value():
    table = ServiceTable()
    table.hold(OLD)
    table.hold(NEW)
    table.release(OLD)
    assert table.canonical(OLD) == NEW


def test_other_identities_are_other_services():
    table = ServiceTable()
    table.hold(OLD)
    other = Service("a", "n", "other")
    assert other == table.canonical(other)
