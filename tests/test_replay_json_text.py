from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimproxy.errors import UsageError
from scimproxy.replay.json_text import pointer_of, with_strings, with_value


def test_only_the_string_at_its_place_changes() -> None:
    text = '{ "a" : [ {"id":"1"}, "x", {"id" : "1", "n": 1.0} ],\n"id":"1","b":{"id":"1"},"e":[],"o":{},"c":1}'
    changed = with_strings(text, {("a", 2, "id"): "22", ("b", "id"): 'q"\n'})
    assert changed == (
        '{ "a" : [ {"id":"1"}, "x", {"id" : "22", "n": 1.0} ],\n"id":"1","b":{"id":"q\\"\\n"},"e":[],"o":{},"c":1}'
    )
    assert with_strings(text, {("c",): "no string"}) == text
    assert with_strings('"x"', {(): "y"}) == '"y"'
    assert with_strings('[["x"],"x"]', {(1,): "y"}) == '[["x"],"y"]'
    assert with_strings('{"é":"ü"}', {("é",): "ö"}) == '{"é":"ö"}'
    assert with_strings('{"a":"u"}', {("a",): "ö"}) == '{"a":"\\u00f6"}', "text that was ASCII stays so"
    assert with_strings('{"a":"\\u00fc"}', {("a",): "ö"}) == '{"a":"\\u00f6"}'
    assert with_strings('{"a":"1","a":"1"}', {("a",): "2"}) == '{"a":"2","a":"2"}'


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def _places(value: object, at: tuple[str | int, ...] = ()) -> dict[tuple[str | int, ...], str]:
    if isinstance(value, str):
        return {at: f"new {at}"}
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {place: new for name, one in inner for place, new in _places(one, (*at, name)).items()}


def _changed(value: object, at: tuple[str | int, ...] = ()) -> object:
    if isinstance(value, str):
        return f"new {at}"
    if isinstance(value, dict):
        return {name: _changed(one, (*at, name)) for name, one in value.items()}
    return [_changed(one, (*at, index)) for index, one in enumerate(value)] if isinstance(value, list) else value


@given(JSON, st.booleans())
def test_every_string_can_be_exchanged(value: object, wide: bool) -> None:
    text = json.dumps(value, indent=2 if wide else None, ensure_ascii=not wide)
    assert with_strings(text, {}) == text
    assert json.loads(with_strings(text, _places(value))) == _changed(value)


def test_pointers() -> None:
    assert pointer_of("") == ()
    assert pointer_of("/a~1b/~0/0") == ("a/b", "~", "0")
    with pytest.raises(UsageError, match="no JSON pointer"):
        pointer_of("a.b")


def test_values_at_pointers() -> None:
    document = {"userName": "ann", "emails": [{"value": "a@x"}]}
    assert with_value(document, (), 1, add=False) == (1, True)
    assert with_value(document, ("username",), "bob", add=False)[0]["userName"] == "bob"
    assert with_value(document, ("emails", "0", "value"), "b@x", add=False)[0]["emails"] == [{"value": "b@x"}]
    assert with_value(document, ("emails", "-"), 2, add=False)[0]["emails"] == [{"value": "a@x"}, 2]
    assert with_value(document, ("title",), "Boss", add=True) == ({**document, "title": "Boss"}, True)
    for pointer in (("title",), ("title", "a"), ("emails", "1"), ("emails", "x"), ("userName", "a")):
        assert with_value(document, pointer, "x", add=False) == (document, False)
    assert with_value(document, ("title", "a"), "x", add=True) == (document, False)
