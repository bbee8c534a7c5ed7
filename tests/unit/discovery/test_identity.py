from __future__ import annotations

import hashlib
import uuid

from hypothesis import given
from hypothesis import strategies as st

from otelauto.discovery.identity import (
    MAX_NAME_LENGTH,
    MAX_VALUE_LENGTH,
    Host,
    bounded,
    instance_id,
    make_service,
    read_host,
)

HOST = Host("web1", "0123456789abcdef0123456789abcdef")


def test_instance_id_is_a_version_5_uuid_which_does_not_change():
    first = instance_id(HOST, namespace="shop", name="api")
    # RFC 9562 section 5.5, worked out here without the uuid module's own function
    namespace = bytes.fromhex("4d63009a8d0f11eeaad74c796ed8e320")
    digest = hashlib.sha1(namespace + f"{HOST.id}\0shop\0api\0".encode()).digest()[:16]
    assert uuid.UUID(bytes=digest, version=5) == uuid.UUID(first)
    assert first == "25a36562-7c4a-533c-b04a-d9264557ca5c"


def test_instance_id_tells_hosts_namespaces_names_and_parts_apart():
    ids = {
        instance_id(HOST, namespace="n", name="a"),
        instance_id(Host("web1", "ff"), namespace="n", name="a"),
        instance_id(HOST, namespace="", name="a"),
        instance_id(HOST, namespace="", name="na"),
        instance_id(HOST, namespace="n", name="a", part="8001"),
    }
    assert len(ids) == 5


def test_instance_id_survives_a_renamed_host_with_a_machine_id():
    renamed = Host("web2", HOST.id)
    assert instance_id(HOST, namespace="", name="a") == instance_id(
        renamed, namespace="", name="a"
    )


def test_host_without_a_machine_id_is_told_by_its_name():
    ids = {instance_id(Host(name), namespace="", name="a") for name in ("web1", "web2")}
    assert len(ids) == 2


def test_machine_id_does_not_show_in_the_instance_id():
    assert HOST.id not in instance_id(HOST, namespace="", name="a").replace("-", "")


def test_application_may_choose_its_own_instance_id_and_namespace():
    said = {"service.instance.id": "mine", "service.namespace": "shop", "a": "1"}
    service = make_service(HOST, name="api", attributes=said)
    assert (
        service.instance_id,
        service.namespace,
        service.attributes,
    ) == ("mine", "shop", (("a", "1"),))


def test_configured_namespace_beats_the_applications():
    service = make_service(
        HOST, name="api", namespace="conf", attributes={"service.namespace": "app"}
    )
    assert service.namespace == "conf"


def test_default_namespace_is_weaker_than_the_applications():
    said = {"service.namespace": "app"}
    services = [
        make_service(HOST, name="api", default_namespace="all", attributes=said),
        make_service(HOST, name="api", default_namespace="all"),
        make_service(HOST, name="api", namespace="conf", default_namespace="all"),
    ]
    assert [service.namespace for service in services] == ["app", "all", "conf"]


def test_hostile_name_is_one_printable_line_that_keeps_its_quotes():
    hostile = 'x"} 1\nevil_metric 42\n#\\'
    assert bounded(hostile) == 'x"} 1_evil_metric 42_#\\'


def test_texts_are_cut_at_a_known_length():
    service = make_service(HOST, name="n" * 10_000, attributes={"k": "é" * 10_000})
    assert len(service.name) == MAX_NAME_LENGTH
    assert service.attributes == (("k", "é" * MAX_VALUE_LENGTH),)


@given(st.text(alphabet=st.characters()))
def test_any_name_becomes_printable_bounded_and_encodable(text):
    name = bounded(text)
    assert name.isprintable()
    assert len(name) <= MAX_NAME_LENGTH
    assert name.encode("utf-8").decode("utf-8") == name
    assert bounded(name) == name


def test_host_is_read_from_its_files(tmp_path):
    (tmp_path / "proc/sys/kernel").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/hostname").write_text("web1\n")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/machine-id").write_text("abc\n")
    assert Host("web1", "abc") == read_host(tmp_path)
    assert Host("other", "abc") == read_host(tmp_path, name="other")


def test_host_without_any_file_still_has_a_name(tmp_path):
    assert Host("localhost", "") == read_host(tmp_path)
