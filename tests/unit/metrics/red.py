"""Entries of the kernel's aggregate, written in a few words."""

from __future__ import annotations

from otelauto.abi import _layout as abi

SLICES = abi.RED_VALUE_SLICES
_MEMBERS = SLICES["fine"].stop


def red_key(service=1, **fields) -> abi.RedKey:
    """A server's answered GET, with other fields on demand."""
    given = {
        "path": 0,
        "service": service,
        "route": abi.Route.NONE,
        "status": 200,
        "server_port": 8080,
        "role": abi.Role.SERVER,
        "method": 1,
        "version": abi.Version.HTTP_1_1,
        "fault": 0,
        "tls": 0,
        "family": 0,
        "shard": 0,
        "address": bytes(16),
    }
    return abi.RedKey(**(given | fields))


def raw_key(service=1, **fields) -> bytes:
    return abi.RED_KEY.pack(*red_key(service, **fields))


def members(**given) -> list[int]:
    """The members of a value: a number for the first of a kind, or a dict of index to number."""
    values = [0] * _MEMBERS
    for name, number in given.items():
        numbers = number if isinstance(number, dict) else {0: number}
        for index, value in numbers.items():
            assert index < SLICES[name].stop - SLICES[name].start
            values[SLICES[name].start + index] = value
    return values


def raw_value(**given) -> bytes:
    return abi.RED_VALUE.pack(*members(**given))
