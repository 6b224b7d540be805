from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimproxy.suite.casts import MAX_JSON_DEPTH, as_number, as_text, read_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Öl", "Öl"),
        ("", ""),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (401, "401"),
        (1.5, "1.5"),
        (None, "null"),
        (["a", 1], '["a",1]'),
        ({"ä": None}, '{"ä":null}'),
    ],
)
def test_text(value: Any, text: str) -> None:
    assert as_text(value) == text


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (12, "12"),
        (1.5, "1.5"),
        ("12", "12"),
        ("1.000", "1"),
        (" -3 ", "-3"),
        ("+1.", "1"),
        (".5", "0.5"),
        ("1e3", "1000"),
        (1e300, "1e300"),
        ("9" * 999, "9" * 999),
    ],
)
def test_number(value: Any, number: str) -> None:
    assert as_number(value) == Decimal(number)


@pytest.mark.parametrize(
    "value",
    [
        True,
        False,
        None,
        "",
        " ",
        "abc",
        "1,5",
        "0x10",
        "inf",
        "nan",
        "1_000",
        "\u0661",
        "1e9999999999",
        "9" * 1001,
        [1],
        {},
        float("inf"),
    ],
)
def test_no_number(value: Any) -> None:
    assert as_number(value) is None


def test_reads_json() -> None:
    assert read_json('\ufeff{"a": [1, 1.5, "x", true, null]}') == {"a": [1, 1.5, "x", True, None]}
    assert isinstance(read_json("1" * 5000), float)
    assert read_json("[" * 150 + "]" * 150)
    assert read_json("[" + "[]," * 400 + "[]]")


@pytest.mark.parametrize("text", ["", "{", "NaN", "[Infinity]", "'a'", "<html>"])
def test_refuses_what_is_no_json(text: str) -> None:
    with pytest.raises(ValueError):
        read_json(text)


@pytest.mark.parametrize("depth", [MAX_JSON_DEPTH + 1, 5_000, 200_000])
def test_refuses_what_is_too_deep(depth: int) -> None:
    with pytest.raises(ValueError, match=f"deeper than {MAX_JSON_DEPTH}"):
        read_json("[" * depth + "]" * depth)
    with pytest.raises(ValueError, match=f"deeper than {MAX_JSON_DEPTH}"):
        read_json('{"a":' * depth + "1" + "}" * depth)


@given(JSON)
def test_never_raises(value: Any) -> None:
    assert isinstance(as_text(value), str)
    assert as_number(value) is None or isinstance(as_number(value), Decimal)
