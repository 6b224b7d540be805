"""Suggestions for the filter box."""

from __future__ import annotations

import pytest

from scimproxy.errors import SyntaxProblem
from scimproxy.query import TERMS, parse_query
from scimproxy.web.suggest import suggestions


def test_an_empty_box_suggests_every_term() -> None:
    assert [one.text for one in suggestions("")] == [f"{term.name}:" for term in TERMS]


def test_a_term_is_completed_where_it_stands() -> None:
    (one,) = suggestions("op:patch -sta")
    assert (one.text, one.start) == ("-status:", 9)


def test_values_are_completed_after_the_colon_and_after_a_comma() -> None:
    assert [one.text for one in suggestions("op:pa")] == ["patch"]
    (one,) = suggestions("op:read,pa")
    assert (one.text, one.start) == ("patch", 8)
    assert "okta" in [one.text for one in suggestions("client:o")]


def test_the_cursor_counts_and_not_the_end() -> None:
    assert [one.text for one in suggestions("op:pa status:404", 5)] == ["patch"]
    assert suggestions("op:pa", -5) == suggestions("")


@pytest.mark.parametrize("text", ['"an open quote', "path:/Users", "nothing:x", "zzz", "op:patch"])
def test_nothing_is_suggested_where_nothing_is_known(text: str) -> None:
    assert suggestions(text) == []


@pytest.mark.parametrize("name", [term.name for term in TERMS])
def test_what_is_suggested_parses(name: str) -> None:
    for one in suggestions(f"{name}:"):
        try:
            parse_query(f"{name}:{one.text}")
        except SyntaxProblem as exc:
            raise AssertionError(one.text) from exc
