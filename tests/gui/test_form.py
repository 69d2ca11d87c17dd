"""Text a person types ⇄ values a config takes."""

from __future__ import annotations

from typing import Any

import pytest

from gui import form
from rlcore.config import ConfigError, Setting


def setting(kind: Any, default: Any = 1, low: float | None = None, high: float | None = None) -> Setting:
    return Setting("x", kind, default, "help", low, high, "")


@pytest.mark.parametrize(("kind", "text", "value"), [
    ("int", "100000", 100_000), ("int", "100_000", 100_000), ("int", "100,000", 100_000), ("int", "100k", 100_000),
    ("int", "1.5M", 1_500_000), ("int", "1e5", 100_000), ("float", "3e-4", 3e-4), ("float", " 0.99 ", 0.99),
    ("bool", "true", True), ("bool", "false", False), ("ints", "64, 64", [64, 64]), ("ints", "(256 256)", [256, 256]),
    ("choice", "relu", "relu"),
])
def test_what_is_typed_becomes_a_value(kind: str, text: str, value: object) -> None:
    assert form.value_of(setting(kind), text) == value


@pytest.mark.parametrize(("kind", "text"), [
    ("int", "many"), ("int", "1.5"), ("int", "1e400"), ("float", "fast"), ("ints", "64, wide"),
])
def test_a_text_that_is_no_number_is_refused_by_name(kind: str, text: str) -> None:
    with pytest.raises(ConfigError, match=r"^x must be a .*number, not '"):
        form.value_of(setting(kind), text)


def test_an_empty_field_is_none_only_where_none_is_usual() -> None:
    assert form.value_of(setting("float", default=None), "") is None
    with pytest.raises(ConfigError, match=r"x is empty\. Its usual value is 0\.99"):
        form.value_of(setting("float", default=0.99), " ")


@pytest.mark.parametrize("value", [None, True, 3, 2.5e-4, (64, 64), "relu"])
def test_values_survive_the_way_through_text(value: Any) -> None:
    kinds = {bool: "bool", int: "int", float: "float", tuple: "ints", str: "choice", type(None): "float"}
    back = form.value_of(setting(kinds[type(value)], default=value), form.text_of(value))
    assert (tuple(back) if isinstance(back, list) else back) == value


@pytest.mark.parametrize(("low", "high", "text"), [
    (0, 1, "0 to 1"), (1, None, "at least 1"), (None, 2, "at most 2"), (None, None, ""),
])
def test_ranges_are_said_in_words(low: float | None, high: float | None, text: str) -> None:
    assert form.span(setting("float", 0.5, low, high)) == text


def test_a_changed_field_is_shown_with_its_usual_value_and_its_group_is_open() -> None:
    groups = [("Common", [setting("int")]), ("All", [Setting("y", "float", 0.5, "help", 0, 1, "nats")])]
    plain = form.html(groups, {"x": "1", "y": "0.5"}, {"x": "1", "y": "0.5"})
    changed = form.html(groups, {"x": "1", "y": "0.7"}, {"x": "1", "y": "0.5"})
    assert "usually" not in plain
    assert 'class="fold" >' in plain
    assert "usually 0.5" in changed
    assert 'class="fold" open>' in changed
    assert "nats" in plain
