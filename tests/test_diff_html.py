from __future__ import annotations

import re
from html.parser import HTMLParser

import factories
from test_diff_report import FOUND, NAMES, SLOW

from scimproxy.bodies import seen
from scimproxy.diff_html import html
from scimproxy.run_diff import compare_pair, compare_runs


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
    assert not re.search(r'(src|href)="|https?://|@import', page)
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
    assert "<details open>" in page
    assert "list /Users: 10.0 ms" in html(SLOW, NAMES)
    assert "- / 4" in html(compare_runs([], [FOUND.pairs[0].seen]), NAMES)
    nothing = html(compare_runs([], []), NAMES)
    assert "no difference" in nothing and "<h2>" not in nothing
