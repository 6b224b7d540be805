"""The page follows a run of hosted Runscope: steps turn green one by one, one fails and says why, the next is awaited."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import Served, chromium, needs_chromium, opened
from recording import Up
from runscope_like import Runscope, Server

from scimproxy.suite.library import bundled
from scimproxy.suite.runscope import parse


@pytest.fixture(name="server")
def _server() -> Iterator[Server]:
    server = Server(defects=["duplicate-accepted"])
    yield server
    server.close()


class Gates:
    """Holds Runscope back before some of its steps."""

    def __init__(self, *numbers: str) -> None:
        self.gates = {number: (threading.Event(), threading.Event()) for number in numbers}

    def __call__(self, number: str) -> None:
        if number in self.gates:
            reached, go = self.gates[number]
            reached.set()
            assert go.wait(60)

    def reached(self, number: str) -> None:
        assert self.gates[number][0].wait(60)

    def open(self, number: str) -> None:
        self.gates[number][1].set()


@needs_chromium
def test_steps_are_followed_live(tmp_path: Path, server: Server) -> None:
    db = tmp_path / "up.db"
    (suite,) = parse(bundled()["scim2-spec"].read_bytes())
    gates = Gates("7", "9")
    with Up(server.demo.url, db) as up, chromium() as browser:
        served = Served(db)
        given = {"SCIMBaseURL": up.url, "auth": f"Bearer {server.demo.token}"}
        runscope = Runscope(suite, given, before=gates)
        playing = threading.Thread(target=runscope.run)
        try:
            with opened(browser, served, "/runs/1") as page:
                page.get_by_role("button", name="Match with a suite…").click()
                page.locator("#match-suite").select_option("scim2-spec")
                page.get_by_role("button", name="Match", exact=True).click()
                page.get_by_text("waiting for its first request").wait_for()
                playing.start()
                gates.reached("7")
                page.get_by_role("link", name="6 of 57").click()
                page.get_by_text("6 of 57 requests; next is 7. Read the user").wait_for()
                assert results(page) == ["pass"] * 6
                gates.open("7")
                gates.reached("9")
                page.get_by_text("8 of 57 requests").wait_for()
                assert results(page) == [*["pass"] * 7, "fail"]
                why = page.locator("ol.steps > li").nth(7)
                assert "Status — 201 was not a number equal to 409" in why.inner_text()
                assert "RFC 7644 section 3.3" in why.inner_text()
                gates.open("9")
                playing.join(60)
                page.get_by_text("Failed", exact=False).first.wait_for()
                page.locator("[data-ended]").wait_for(state="attached")
                assert page.locator(".to-come").count() == 0
                why.get_by_role("link", name="Exchange").click()
                page.get_by_text("Create the same user again: a conflict").first.wait_for()
            with opened(browser, served, "/runs/1") as page:
                assert page.locator(".strip a.fail").count() == 1
                page.get_by_role("button", name="Stop matching").click()
                page.get_by_role("button", name="Stop matching").wait_for(state="detached")
        finally:
            for number in gates.gates:
                gates.open(number)
            served.close()


def results(page: Any) -> list[str]:
    return [word.strip() for word in page.locator("ol.steps details .word").all_inner_texts()]
