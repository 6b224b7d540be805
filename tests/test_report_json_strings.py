"""Strings and numbers of a JSON text, with their places, whatever the text is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimproxy.report.json_strings import pieces

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=15,
)


def leaves(value: object, way: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, dict):
        return [pair for name, one in value.items() for pair in leaves(one, (*way, name.lower()))]
    if isinstance(value, list):
        return [pair for at, one in enumerate(value) for pair in leaves(one, (*way, at))]
    return [] if value is None or isinstance(value, bool) else [(way, value)]


@given(JSON, st.booleans())
def test_every_value_is_found_at_its_place(value: object, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    found = [one for one in pieces(text) if not one.is_name]
    assert [(one.path, json.loads(one.value) if one.is_number else one.value) for one in found] == leaves(value)
    for one in pieces(text):
        quoted = text[one.start : one.end] if one.is_number else f'"{text[one.start : one.end]}"'
        assert json.loads(quoted) == (json.loads(one.value) if one.is_number else one.value)


@given(st.text(st.sampled_from('{}[],:"\\ua1-e é'), max_size=40))
def test_nothing_makes_it_fail(text: str) -> None:
    for one in pieces(text):
        assert 0 <= one.start <= one.end <= len(text)


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ('{"a": {"b": "cut her', ("a", "b"), "cut her"),
        ('{"a": "caf\\u00', ("a",), "caf"),
        ('{"a": "x\\', ("a",), "x"),
        ('"', (), ""),
        (']}"a"', (), "a"),
        (',"a"', (), "a"),
        ('{"a": "\\uzzzz bad and more"}', ("a",), "\\uzzzz bad and more"),
    ],
)
def test_what_is_cut_or_no_json(text: str, path: tuple[object, ...], value: str) -> None:
    last = list(pieces(text))[-1]
    assert (last.path, last.value) == (path, value)


def test_depth_is_bounded() -> None:
    (one,) = pieces("[" * 5_000 + "1" + "]" * 5_000)
    assert len(one.path) == 200
