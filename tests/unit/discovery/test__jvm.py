from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from otelauto.discovery._jvm import java_name, system_property


def test_last_definition_of_a_property_counts():
    arguments = ("-Da=1", "-Dab=2", "-Da=3", "-jar", "x.jar")
    assert system_property(arguments, "a") == "3"
    assert system_property(arguments, "b") == ""


def test_class_path_is_no_main_class():
    assert java_name(("-cp", "lib/a.jar", "org.example.Shop"), "/") == "Shop"
    assert java_name(("-cp=lib/a.jar", "org.example.Shop"), "/") == "Shop"


@given(st.lists(st.text(max_size=12) | st.sampled_from(["-jar", "-m", "-cp", "@x"]), max_size=6))
def test_any_arguments_give_a_text(arguments):
    assert isinstance(java_name(tuple(arguments), "/srv/shop"), str)
