"""The inspector for everybody: axe-core finds nothing serious on any page, light or dark; JSON pointers by keyboard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import Served, api, chromium, needs_chromium, opened, rows
from inspectors import ID, fill

pytestmark = needs_chromium
AXE = Path(__file__).resolve().parents[2] / ".peers" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
RUN = """inside => axe.run(inside ? document.querySelector(inside) : document, {resultTypes: ["violations"]}).then(found =>
  found.violations.filter(one => ["serious", "critical"].includes(one.impact)).map(one =>
    `${one.id}: ${one.nodes.slice(0, 3).map(node => node.target + " " + node.failureSummary).join("; ")}`))"""

NARROW = {"list with suggestions", "Response", "compare with", "/runs", "/runs/2"}


@pytest.fixture(name="browser", scope="module")
def _browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture(name="served")
def _served(tmp_path: Path) -> Iterator[Served]:
    fill(tmp_path / "a.db")
    served = Served(tmp_path / "a.db")
    yield served
    served.close()


def checking(page: Any) -> Callable[..., None]:
    """A check of what is shown now: all of axe's rules, light and dark; no page of 360 pixels scrolls sideways.

    On some of them, those that change most, axe looks at the narrow page too. `inside`: the rest was looked at before.
    """
    axe = AXE.read_text(encoding="utf-8")

    def check(where: str, inside: str = "") -> None:
        if not page.evaluate("'axe' in window"):
            page.evaluate(axe)
        for scheme, width in (("light", 1400), ("dark", 1400), ("light", 360)):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 900})
            if width > 360 or where in NARROW:
                assert page.evaluate(RUN, inside) == [], f"{where}, {scheme}, {width} px"
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{where}, {wide} px wide on {width}"
        page.set_viewport_size({"width": 1400, "height": 900})

    return check


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: ./scripts/test installs it with npm")
def test_axe_finds_nothing_serious_on_any_page(browser: Any, served: Served) -> None:
    # axe comes from outside: in this test alone the page's policy lets it in.
    with opened(browser, served, quiet=False, bypass_csp=True, reduced_motion="reduce", color_scheme="light") as page:
        check = checking(page)
        api.expect(rows(page)).to_have_count(7)
        page.locator("#filter").fill("op:")
        api.expect(page.get_by_role("option", name="patch", exact=True)).to_be_visible()
        check("list with suggestions")
        page.goto(f"{served.url}/exchanges/3")
        api.expect(page.locator(".exchange")).to_be_visible()
        for name in ("Request", "Response", "Connection", "SCIM", "Raw"):
            page.get_by_role("tab", name=name).click()
            if name == "SCIM":
                api.expect(page.get_by_role("tabpanel")).to_contain_text("The resource before and after")
            check(name, "" if name == "Request" else "#detail")
        page.get_by_role("button", name="Compare with…").click()
        api.expect(page.get_by_role("option", name="near it").first).to_be_visible()
        check("compare with", "#detail")
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Replay…").click()
        api.expect(page.get_by_role("dialog")).to_be_visible()
        check("replay", "dialog[open]")
        page.keyboard.press("Escape")
        page.keyboard.press("Escape")
        page.keyboard.press("?")
        api.expect(page.get_by_role("dialog")).to_contain_text("the status code of the response")
        check("help", "dialog[open]")
        for path in ("/runs", "/runs/2", "/diff?a=1&b=2", "/tunnel", f"/resources?type=User&id={ID}", "/nothing"):
            page.goto(served.url + path)
            api.expect(page.locator("h1")).to_be_visible()
            check(path)
        for name in ("Replay…", "Use in mock", "Rename", "Delete"):
            page.goto(f"{served.url}/runs/1")
            page.get_by_role("button", name=name).click()
            api.expect(page.get_by_role("dialog")).to_be_visible()
            check(name, "dialog[open]")
        page.goto(f"{served.url}/runs")
        page.get_by_role("switch").first.click()
        api.expect(page.get_by_role("dialog")).to_contain_text("This run is shareable")
        check("share", "dialog[open]")
        page.context.clear_cookies()
        page.goto(served.url)
        api.expect(page.get_by_role("heading", name="The inspector needs its token")).to_be_visible()
        check("door")


def test_a_json_pointer_is_copied_by_keyboard(browser: Any, served: Served) -> None:
    with opened(browser, served, "/exchanges/2", permissions=["clipboard-read", "clipboard-write"]) as page:
        page.get_by_role("tab", name="Response").click()
        api.expect(page.get_by_role("tabpanel")).to_contain_text("userName")
        page.get_by_role("tabpanel").get_by_role("group", name="JSON").focus()
        for _ in range(2):
            page.keyboard.press("ArrowDown")
        api.expect(page.locator(".json [title='/schemas']")).to_be_focused()
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("c")
        api.expect(page.locator("#told")).to_have_text("Copied the pointer /id")
        assert page.evaluate("navigator.clipboard.readText()") == "/id"
