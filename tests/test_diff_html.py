from __future__ import annotations

import re
from html.parser import HTMLParser

import factories
import pytest
from test_diff_report import FOUND, NAMES, SLOW

from scimproxy.bodies import Seen, seen
from scimproxy.diff import html as diff_html
from scimproxy.diff.html import html
from scimproxy.diff.runs import compare_pair, compare_runs


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.add(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def tags(page: str) -> set[str]:
    parser = Tags()
    parser.feed(page)
    assert parser.open == []
    return parser.seen


def test_it_stands_alone_and_no_value_is_markup() -> None:
    evil = seen(factories.exchange(answer={"</code><script>alert(1)</script>": "<img src=x>\u202e"}))
    page = html(compare_pair(seen(factories.exchange(answer={})), evil), ("<script>", '"><b>'))
    assert not tags(page) & {"script", "img", "b", "link"}
    assert not re.search(r'(src|href)="(?!#)|https?://|@import', page)
    assert "default-src 'none'" in page and "\u202e" not in page


def test_what_it_tells() -> None:
    page = html(FOUND, NAMES)
    for word in (
        "breaking",
        "/response/body/a",
        "4 / 5",
        "3 Read | it",
        "clients that read it find nothing",
        "Bindings",
    ):
        assert word in page
    assert '<details class="row" id="pair-0" open>' in page
    assert page.count("nothing</span>") == 4, "where one of the two has no value"
    assert "list /Users: 10.0 ms" in html(SLOW, NAMES)
    assert "- / 4" in html(compare_runs([], [FOUND.pairs[0].seen]), NAMES)
    nothing = html(compare_runs([], []), NAMES)
    assert "no difference" in nothing and "<h2>" not in nothing
    only = html(
        compare_pair(seen(factories.exchange(answer={"a": 1})), seen(factories.exchange(answer={"a": 2}))), NAMES
    )
    assert " open>" in only, "one pair is shown, whatever its verdict"


def test_of_many_pairs_the_worst_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diff_html, "MOST_PAIRS", 1)
    one = seen(factories.exchange("GET", "/scim/v2/Users/1", answer={"a": 1, "b": 1}))
    two = seen(factories.exchange("GET", "/scim/v2/Groups", answer={"a": 1}))
    page = html(compare_runs([two, one], [one_without_b(), changed()]), ("a", "b"))
    assert "1 more pairs differ" in page
    assert page.count("<details") == 1 and "In short" not in page and "/response/body/b" in page


def one_without_b() -> Seen:
    return seen(factories.exchange("GET", "/scim/v2/Users/1", answer={"a": 1}))


def changed() -> Seen:
    return seen(factories.exchange("GET", "/scim/v2/Groups", answer={"a": 2}))


def test_what_pairs_have_in_common_is_told_first_and_not_all_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diff_html, "_MOST_OPEN", 2)
    monkeypatch.setattr(diff_html, "_MOST_GROUPS", 1)
    a = [seen(factories.exchange("GET", f"/scim/v2/Users/{at}", answer={"a": 1, "b": at})) for at in range(5)]
    b = [seen(factories.exchange("GET", f"/scim/v2/Users/{at}", answer={"b": at, "c": 1})) for at in range(5)]
    page = html(compare_runs(a, b), NAMES)
    assert page.count(" open>") == 2
    short = page[page.index("In short") : page.index("Exchanges")]
    assert "response/body/a" in short and '<td class="num">5</td>' in short and '<a href="#pair-0">' in short
    assert "1 more kind below, in the exchanges." in short


def test_long_values_are_cut() -> None:
    page = html(
        compare_pair(
            seen(factories.exchange(answer={"a": "x" * 900})), seen(factories.exchange(answer={"a": list(range(90))}))
        ),
        NAMES,
    )
    assert "x" * 300 in page and "x" * 500 not in page
    assert "… 52 more lines" in page
