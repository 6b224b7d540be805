"""The outline of a JSON text: what was sent, line by line, with pointers, and bounded."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimproxy.outline import MOST_DEPTH, Outline, outline

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def read(text: str, **limits: int) -> Outline:
    found = outline(text, **limits)
    assert found is not None
    return found


def joined(found: Outline) -> str:
    return " ".join(
        f"{line.name + ': ' if line.name else ''}{line.text}{',' if line.comma else ''}" for line in found.lines
    )


@given(JSON)
def test_the_lines_are_the_document_and_pointers_lead_to_values(value: object) -> None:
    found = read(json.dumps(value))
    assert json.loads(joined(found)) == value
    for line in found.lines:
        at = value
        for part in line.pointer.split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            at = at[name] if isinstance(at, dict) else at[int(name)]  # type: ignore[index]  # a list
        if line.kind == "leaf":
            assert json.loads(line.text) == at
    assert found.left_out == 0


def test_digits_order_and_duplicates_stay() -> None:
    found = read('{"b": 1.10, "a": 12345678901234567890123, "b": -0e5}')
    assert joined(found) == '{ "b": 1.10, "a": 12345678901234567890123, "b": -0e5 }'
    assert [line.form for line in found.lines] == ["object", "number", "number", "number", "object"]


def test_counts_and_folding() -> None:
    found = read(json.dumps({"Resources": [{"id": str(n)} for n in range(21)], "one": [1]}))
    opened = {line.pointer: line for line in found.lines if line.kind == "open"}
    assert (opened[""].count, opened["/Resources"].count, opened["/one"].count) == (
        "2 members",
        "21 elements",
        "1 element",
    )
    assert (opened["/Resources"].folded, opened["/Resources/3"].folded) == (False, True)


@pytest.mark.parametrize("text", ["", "{", "nope", "NaN", '{"a": Infinity}', "{} x", "[" * 100_000])
def test_what_is_no_json(text: str) -> None:
    assert outline(text) is None


def test_it_is_bounded_in_lines_strings_and_depth() -> None:
    found = read(json.dumps(list(range(100))), most_lines=10)
    assert len(found.lines) == 12
    assert found.lines[-2].text == "… 91 more"
    assert found.left_out == 91
    assert read('"' + "x" * 50 + '"', longest=10).lines[0].text == '"xxxxxxxxx… (52 characters)'
    assert read("1" * 50, longest=10).lines[0].text == "1111111111… (50 characters)"
    deep = read("[" * (MOST_DEPTH + 1) + "1" + "]" * (MOST_DEPTH + 1))
    assert (deep.left_out, deep.lines[MOST_DEPTH].text) == (1, "[…]")
    assert read("[]").lines[0].text == "[]"
