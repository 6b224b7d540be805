"""Escapes undone, with the way back."""

from __future__ import annotations

import html
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimproxy.report.unescaping import MOST_LEVELS, Level, levels


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a%40b", "a@b"),
        ("%C3%A9%e9%", "éé%"),
        ("%E2%82%AC%F0%9F%98%80", "€😀"),
        ("%80x", "\x80x"),
        (r"caf\u00e9 \ud83d\ude00 \n\/\"", 'caf\u00e9 \U0001f600 \n/"'),
        (r"\ud800", "\ufffd"),
        ("&lt;&#233;&#xE9;&eacute;&zzz;", "<ééé&zzz;"),
    ],
)
def test_codings(text: str, said: str) -> None:
    assert list(levels(text))[1].text == said


@given(st.text(max_size=20))
def test_each_character_knows_where_it_came_from(value: str) -> None:
    for code in (
        lambda it: quote(it, safe=""),
        json.dumps,
        html.escape,
        lambda it: quote(quote(it, safe=""), safe=""),
    ):
        text = f"before {code(value)} after"
        for level in levels(text):
            start, end = level.span(0, len(level.text))
            assert (start, end) == (0, len(text))
            at = level.text.find("after")
            first, last = level.span(at, at + 5)
            assert text[first:last] == "after"


def test_nothing_to_undo_and_a_bound() -> None:
    assert [one.text for one in levels("plain")] == ["plain"]
    assert [one.text for one in levels("50% & more\\")] == ["50% & more\\"]
    assert len(list(levels("%2525252525252540"))) == MOST_LEVELS
    assert Level("ab").span(0, 1) == (0, 1)
