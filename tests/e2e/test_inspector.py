"""The inspector in a real Chromium (the system's): live traffic, filter, tabs, keys, reload, a server that comes again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browsing import Served, api, chromium, needs_chromium, opened, rows
from factories import T0, exchange, run, suite_step
from inspectors import ID, SCRIPT, TOKEN, USER, fill
from listeners import http, listener

from scimproxy.store import Store
from scimproxy.store.suites import SuiteRows
from scimproxy.suite.results import SuiteResult

pytestmark = needs_chromium


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


def test_the_token_leaves_the_address_bar_and_a_stranger_stays_outside(browser: Any, served: Served) -> None:
    with opened(browser, served) as page:
        api.expect(rows(page)).to_have_count(7)
        assert "token" not in page.url
        assert page.evaluate("document.cookie") == ""
    made = browser.new_context()
    page = made.new_page()
    page.goto(served.url)
    api.expect(page.get_by_role("heading", name="The inspector needs its token")).to_be_visible()
    page.get_by_label("URL or token").fill("not-the-token-at-all")
    page.get_by_role("button", name="Open").click()
    api.expect(page.get_by_role("status")).to_contain_text("This is not the token")
    page.get_by_label("URL or token").fill(f"{served.url}/#token={TOKEN}")
    page.get_by_role("button", name="Open").click()
    api.expect(rows(page)).to_have_count(7)
    made.close()


def test_traffic_arrives_in_flight_and_then_answered(browser: Any, served: Served) -> None:
    with opened(browser, served) as page, Store.open(served.options.db) as store:
        api.expect(page.locator("#state")).to_have_text("live")
        store.start_run(run(name="now"))
        flying = exchange("POST", "/scim/v2/Users", body={"userName": "ada"}, state="pending", response=None)
        store.pending(flying)
        first = rows(page).first
        api.expect(first).to_contain_text("Create User ada")
        api.expect(first).to_have_class(re.compile("pending"))
        answered = exchange(
            "POST", "/scim/v2/Users", status_code=201, body={"userName": "ada"}, answer=USER, uid=flying.uid
        )
        store.add(answered)
        api.expect(first.locator(".status")).to_have_text("201")
        api.expect(rows(page)).to_have_count(8)
        api.expect(page.locator(".row.group").first).to_contain_text("now")


def test_filter_with_suggestions_search_and_a_mistake(browser: Any, served: Served) -> None:
    with opened(browser, served) as page:
        api.expect(rows(page)).to_have_count(7)
        page.keyboard.press("/")
        page.keyboard.type("op:pa")
        api.expect(page.locator("#suggestions li")).to_have_text(["patch"])  # of "op:" there were more
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        api.expect(rows(page)).to_have_count(1)
        assert "op%3Apatch" in page.url
        page.reload()
        api.expect(rows(page)).to_have_count(1)
        api.expect(page.locator("#filter")).to_have_value(re.compile("op:patch"))
        page.locator("#filter").fill("stauts:404")
        api.expect(page.locator("#told")).to_contain_text("did you mean status: ?")
        page.locator("#filter").fill("totalResults")
        api.expect(rows(page)).to_have_count(1)
        page.locator("#filter").fill("nothing-like-that")
        api.expect(page.locator("#empty")).to_contain_text("Nothing fits")
        page.keyboard.press("Escape")
        page.keyboard.press("Escape")
        api.expect(rows(page)).to_have_count(7)
        page.locator("#run").select_option("2")
        api.expect(rows(page)).to_have_count(1)
        api.expect(page.locator(".row.step")).to_contain_text(f"1. {SCRIPT}")


def test_every_tab_by_keyboard_alone(browser: Any, served: Served) -> None:
    with opened(browser, served) as page:
        api.expect(rows(page)).to_have_count(7)
        page.locator("#run").select_option("1")
        api.expect(rows(page)).to_have_count(6)
        page.locator("#rows").focus()
        for _ in range(4):
            page.keyboard.press("j")
        api.expect(page.locator(".row[aria-selected=true]")).to_have_attribute("data-id", "3")
        api.expect(page.locator(".exchange")).to_have_attribute("data-id", "3")
        shown = {
            "1": ("Request", "PATCH /scim/v2/Users/"),
            "2": ("Response", "HTTP/1.1 200"),
            "3": ("Connection", "127.0.0.1:8000"),
            "4": ("SCIM", "The resource before and after"),
            "5": ("Raw", "Host: scim.example"),
        }
        for key, (name, text) in shown.items():
            page.keyboard.press(key)
            api.expect(page.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")
            api.expect(page.get_by_role("tabpanel")).to_contain_text(text)
        page.keyboard.press("Home")
        api.expect(page.get_by_role("tab", name="Request")).to_be_focused()
        page.keyboard.press("k")
        api.expect(page.locator(".exchange")).to_have_attribute("data-id", "4")
        page.locator("#rows").focus()
        page.keyboard.press("Enter")
        api.expect(page.get_by_role("tab", name="Request")).to_be_focused()
        page.keyboard.press("p")
        api.expect(page.locator("#state")).to_have_text("held")
        page.keyboard.press("g")
        api.expect(page.locator("#state")).to_have_text("live")
        page.keyboard.press("Escape")
        api.expect(page.locator("#detail")).to_be_hidden()
        page.keyboard.press("?")
        api.expect(page.get_by_role("dialog")).to_contain_text("the status code of the response")
        page.keyboard.press("Escape")
        api.expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_link_to_an_exchange_a_note_and_back(browser: Any, served: Served) -> None:
    with opened(browser, served, "/exchanges/2") as page:
        api.expect(page.locator(".exchange")).to_have_attribute("data-id", "2")
        page.get_by_label("Note").fill("look here")
        page.get_by_label("Tags").fill("bug later")
        page.get_by_role("button", name="Save").click()
        api.expect(page.locator("[data-said]")).to_have_text("Saved.")
        api.expect(page.locator("#x2 .tag")).to_have_text(["bug", "later", "note"])
        page.reload()
        api.expect(page.get_by_label("Note")).to_have_value("look here")


def test_hostile_bodies_do_nothing(browser: Any, served: Served) -> None:
    with opened(browser, served, "/exchanges/6") as page:
        page.on("dialog", lambda dialog: pytest.fail(dialog.message))
        for key in "12345":
            page.keyboard.press(key)
        page.keyboard.press("2")
        api.expect(page.get_by_role("tabpanel")).to_contain_text(SCRIPT)
        for path in ("/runs", "/runs/2", "/diff?of=exchanges&a=5&b=6", f"/resources?type=User&id={ID}"):
            page.goto(served.url + path)
            api.expect(page.locator("h1")).to_be_visible()
        assert page.evaluate("document.scripts.length") == 1


def test_a_page_recovers_when_the_server_comes_again_and_misses_nothing(browser: Any, served: Served) -> None:
    with opened(browser, served, quiet=False) as page, Store.open(served.options.db) as store:
        api.expect(page.locator("#state")).to_have_text("live")
        served.stop()
        api.expect(page.locator("#state")).to_contain_text("lost")
        store.start_run(run(name="while away"))
        for at in range(30):
            store.add(exchange(target=f"/scim/v2/Users/away-{at}"))
        served.start()
        api.expect(page.locator("#state")).to_have_text("live")
        api.expect(page.locator("#x37")).to_contain_text("away-29")
        api.expect(page.locator("#x8")).to_have_count(1)
        # Another start has another token: the page says so, and takes the new one.
        served.stop()
        served.options = replace(served.options, token="another-token-altogether")
        served.start()
        api.expect(page.get_by_role("dialog")).to_contain_text("started again")
        page.get_by_label("URL or token").fill(f"{served.url}/#token=another-token-altogether")
        page.get_by_role("button", name="Go on").click()
        api.expect(page.locator("#state")).to_have_text("live")


def test_an_edited_request_is_sent_again_and_compared(browser: Any, served: Served) -> None:
    asked: list[str] = []

    def reply(target: str) -> bytes:
        asked.append(target)
        return http(404)

    with listener(reply) as port, opened(browser, served, "/exchanges/2") as page:
        page.get_by_role("button", name="Replay…").click()
        page.get_by_label("To", exact=True).fill(f"http://127.0.0.1:{port}/scim/v2")
        text = page.get_by_role("textbox", name="Request")
        text.fill(text.input_value().replace(f"/Users/{ID}", "/Users/edited"))
        page.get_by_role("button", name="Send").click()
        api.expect(page.locator("#replayed")).to_contain_text("breaking")
        assert asked == ["/scim/v2/Users/edited"]
        api.expect(page.locator("#x8")).to_contain_text("Read User edited")
        page.get_by_role("link", name="Compare").click()
        api.expect(page.locator(".verdict")).to_contain_text("breaking")


def test_runs_are_compared_exported_renamed_and_deleted(browser: Any, served: Served) -> None:
    with opened(browser, served, "/runs") as page:
        page.get_by_label("Choose run 1 to compare").check()
        page.get_by_label("Choose run 2 to compare").check()
        page.get_by_role("button", name="Compare the two chosen").click()
        api.expect(page.locator(".verdict")).to_contain_text("compared")
        page.goto(f"{served.url}/runs/1")
        with page.expect_download() as loaded:
            page.get_by_role("link", name="HAR").click()
        assert ID in loaded.value.path().read_text()
        page.get_by_role("button", name="Rename").click()
        page.get_by_label("Name", exact=True).fill("the good one")
        page.get_by_role("button", name="Save").click()
        api.expect(page.get_by_role("heading", level=1)).to_contain_text("the good one")
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("button", name="Delete it").click()
        api.expect(page.locator("tbody tr")).to_have_count(1)


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (700, "light")])
def test_narrow_pages_do_not_scroll_sideways(browser: Any, served: Served, width: int, scheme: str) -> None:
    # 700 px are what a window of 1400 has at a zoom of 200 %.
    with opened(browser, served, color_scheme=scheme) as page:
        page.set_viewport_size({"width": width, "height": 700})
        for path in (
            "/",
            "/exchanges/3",
            "/runs",
            "/runs/1",
            "/runs/2",
            "/tunnel",
            "/diff?a=1&b=2",
            "/diff?of=exchanges&a=2&b=3",
            f"/resources?type=User&id={ID}",
        ):
            page.goto(served.url + path)
            api.expect(page.locator("main")).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_many_rows_are_a_window(browser: Any, tmp_path: Path) -> None:
    fill(tmp_path / "a.db", more=1_500)
    served = Served(tmp_path / "a.db")
    try:
        with opened(browser, served) as page:
            page.locator("#run").select_option("1")
            api.expect(page.locator("#x1506")).to_be_visible()
            assert rows(page).count() < 100
            page.wait_for_function(
                """() => { const list = document.getElementById("rows"); list.scrollTop = list.scrollHeight;
                return document.getElementById("x1") !== null; }"""
            )
            assert rows(page).count() < 100
    finally:
        served.close()


def test_a_suite_is_followed_step_by_step(browser: Any, served: Served) -> None:
    with Store.open(served.options.db) as store:
        going = store.start_run(run(kind="suite", name="mine"))
        assert going.id is not None
        rows_of = SuiteRows(store, going.id)
        words = ("mine.json", "--target", "http://x.test/scim", "--auth", "-", "--var", "key=<key>")
        so_far = SuiteResult(name="mine", result="pass", started_at=T0, command=words, folder="/a folder")
        rows_of.save(so_far)
        with opened(browser, served, f"/runs/{going.id}") as page:
            api.expect(page.locator(".verdict")).to_contain_text("running")
            again = page.get_by_text(
                "cd '/a folder' && scimproxy run mine.json --target http://x.test/scim --auth - --var"
            )
            api.expect(again).to_be_visible()
            api.expect(page.locator("#part")).to_contain_text("fill in <key>")
            number = store.add(exchange(run_id=going.id, target="/scim/v2/Users?count=1"))
            rows_of.add(suite_step(note="first step", exchange_id=number))
            api.expect(page.locator(".steps")).to_contain_text("first step")
            rows_of.save(replace(so_far, result="fail", ended_at=T0 + 1))
            store.finish_run(going.id, ended_at=T0 + 1)
            api.expect(page.locator(".verdict")).to_contain_text("Failed")


def test_a_run_is_shared_read_without_cookies_and_private_again(browser: Any, served: Served) -> None:
    with opened(browser, served, "/runs") as page:
        toggle = page.get_by_role("switch", name="Run 1 is shareable")
        api.expect(toggle).not_to_be_checked()
        toggle.click()
        api.expect(page.get_by_label("Link")).to_have_value(re.compile(r"/s/[\w-]{43}$"))
        link = page.get_by_label("Link").input_value()
        page.get_by_role("button", name="Copy").click()
        api.expect(page.get_by_role("dialog").get_by_role("status")).to_contain_text("opied")
        stranger = browser.new_context()
        other = stranger.new_page()
        other.goto(link)
        api.expect(other.locator("h1")).to_contain_text("first")
        assert other.evaluate("document.cookie") == ""
        assert stranger.cookies() == []
        page.get_by_role("button", name="Done").click()
        page.goto(f"{served.url}/runs/1")
        toggle = page.get_by_role("switch")
        api.expect(toggle).to_be_checked()
        assert link.rpartition("/")[2] not in page.content()
        api.expect(toggle).to_be_enabled()
        toggle.press("Space")
        api.expect(page.locator("#share-said")).to_contain_text("private")
        api.expect(toggle).not_to_be_checked()
        again = other.reload()
        assert again is not None
        assert again.status == 404
        api.expect(other.locator("body")).to_contain_text("There is nothing here.")
        stranger.close()


def test_a_whole_run_is_replayed_and_leads_to_the_comparison(browser: Any, served: Served) -> None:
    with listener(lambda _: http(404)) as port, opened(browser, served, "/runs/1") as page:
        page.get_by_role("button", name="Replay…").click()
        page.get_by_label("To", exact=True).fill(f"http://127.0.0.1:{port}/scim/v2")
        page.get_by_label("Authorization").fill("Bearer x")
        page.get_by_label("Fresh names").check()
        page.get_by_role("button", name="Send 6 requests").click()
        page.wait_for_url("**/diff?a=1&b=3")
        api.expect(page.locator(".verdict")).to_contain_text("breaking")


def test_an_exchange_is_copied_as_curl_hurl_and_python(browser: Any, served: Served) -> None:
    permissions = ["clipboard-read", "clipboard-write"]
    with opened(browser, served, "/exchanges/2", permissions=permissions) as page:
        for name, word in (("hurl", f"/Users/{ID}"), ("Python", "def test_")):
            page.get_by_role("button", name=f"Copy as {name}").click()
            api.expect(page.locator("#spoken")).to_contain_text(name)
            assert word in page.evaluate("navigator.clipboard.readText()")
        page.locator("#rows").focus()
        page.keyboard.press("c")
        api.expect(page.locator("#spoken")).to_contain_text("curl")
        assert page.evaluate("navigator.clipboard.readText()").startswith("curl ")


def test_two_exchanges_are_chosen_by_keyboard_and_stand_side_by_side(browser: Any, served: Served) -> None:
    with opened(browser, served, "/diff?of=exchanges") as page:
        api.expect(page.locator("#choices option")).to_have_count(7)
        page.get_by_label("A", exact=True).focus()
        for keys in ("2", "Tab", "3", "Enter"):
            page.keyboard.press(keys)
        page.wait_for_url("**/diff?of=exchanges&a=2&b=3")
        differs = page.get_by_role("region", name="Response of both").locator("tr.differs")
        api.expect(differs).to_have_count(3)  # its length, a comma, and the value
        api.expect(differs.last).to_contain_text('"active": false')


def test_a_filter_that_fits_rarely_goes_on_by_itself(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scimproxy.web.searching.LIMIT_S", 0.0)
    monkeypatch.setattr("scimproxy.web.searching.FIRST", 40)
    fill(tmp_path / "a.db", more=400)
    served = Served(tmp_path / "a.db")
    try:
        with opened(browser, served, "/?filter=method:DELETE") as page:
            api.expect(rows(page)).to_have_count(1)
            page.locator("#filter").fill("op:bulk")
            api.expect(page.locator("#empty")).to_contain_text("Nothing fits")
    finally:
        served.close()


def test_what_to_compare_with_is_chosen_by_keyboard_and_the_marked_one_stands_first(
    browser: Any, served: Served
) -> None:
    with opened(browser, served, "/exchanges/1") as page:
        page.locator("#rows").focus()
        api.expect(page.locator(".exchange")).to_have_attribute("data-id", "1")
        page.keyboard.press("m")
        api.expect(page.get_by_role("button", name="Mark")).to_have_attribute("aria-pressed", "true")
        page.goto(f"{served.url}/exchanges/2")
        page.get_by_role("button", name="Compare with…").click()
        listed = page.get_by_role("listbox", name="Exchanges to compare with").get_by_role("option")
        api.expect(listed.first).to_contain_text("marked")
        api.expect(listed.first).to_contain_text("Create User bjensen")
        api.expect(page.get_by_role("combobox", name="Compare with")).to_be_focused()
        page.keyboard.type("delete")
        api.expect(listed).to_have_count(1)
        api.expect(listed.first).to_contain_text("same resource")
        page.keyboard.press("Control+a")
        page.keyboard.type("99")
        api.expect(listed.first).to_contain_text("by its number")
        page.keyboard.press("Escape")
        api.expect(page.get_by_role("button", name="Compare with…")).to_be_focused()
        page.keyboard.press("Enter")
        page.keyboard.press("Control+a")
        page.keyboard.press("Delete")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.wait_for_url("**/diff?of=exchanges&a=2&b=1")
        api.expect(page.locator(".verdict")).to_be_visible()


def test_times_are_local_and_utc_on_hover(browser: Any, served: Served) -> None:
    with opened(browser, served, "/exchanges/2", timezone_id="Asia/Tokyo", locale="en-GB") as page:
        api.expect(page.locator("#x2 .time")).to_have_attribute(
            "title", re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:.* UTC$")
        )
        for time in (page.locator(".exchange time").first, page.locator("#x2 .time")):
            utc, shown = time.get_attribute("title") or "", time.text_content() or ""
            hour = int(utc[11:13])
            assert f"{(hour + 9) % 24:02}:{utc[14:16]}" in shown, (utc, shown)
        page.goto(f"{served.url}/runs")
        assert page.locator("tbody time").first.get_attribute("title").endswith("UTC")


def test_a_mock_is_started_from_the_page_answers_and_is_stopped(browser: Any, served: Served) -> None:
    with opened(browser, served, "/exchanges/2") as page:
        page.set_default_timeout(60_000)  # it is a process of its own
        page.get_by_role("link", name="Use in mock").click()
        api.expect(page.get_by_role("dialog")).to_contain_text("scimproxy mock 1")
        page.get_by_label("Stateful").check()
        page.get_by_role("button", name="Start it here").click()
        mocked = page.get_by_role("form", name="Mock")
        api.expect(mocked).to_contain_text("stateful", timeout=60_000)
        url = mocked.locator("code").text_content() or ""
        made = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "of the page"}
        answer = page.context.request.post(f"{url}/Users", data=made)
        assert answer.status == 201
        mocked.get_by_role("link", name="What it was asked").click()
        api.expect(rows(page).first).to_contain_text("Create User of the page")
        page.goto(f"{served.url}/runs/1")
        page.get_by_role("form", name="Mock").get_by_role("button", name="Stop").click()
        api.expect(page.get_by_role("form", name="Mock")).to_have_count(0, timeout=60_000)


def test_the_place_of_findings_says_that_nothing_has_looked(browser: Any, served: Served) -> None:
    with opened(browser, served, "/exchanges/2") as page:
        page.get_by_role("tab", name="SCIM").click()
        api.expect(page.get_by_role("heading", name="Findings")).to_be_visible()
        api.expect(page.get_by_role("tabpanel")).to_contain_text("No SCIM rules have looked at this exchange yet.")


def test_the_number_of_a_big_run_comes_after_its_page(
    browser: Any, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scimproxy.web.pages._COUNTED", 3)
    monkeypatch.setattr("scimproxy.web.pages._COUNTED_EACH", 3)
    with opened(browser, served, "/runs") as page:
        assert "very many" in page.request.get(f"{served.url}/runs").text()
        api.expect(page.locator("tbody tr").nth(1)).to_contain_text("6")
        api.expect(page.locator("[data-count]")).to_have_count(0)
        page.goto(f"{served.url}/runs/1")
        api.expect(page.locator("dl.facts")).to_contain_text("Exchanges6")
        page.get_by_role("button", name="Replay…").click()
        api.expect(page.get_by_role("button", name="Send 6 requests")).to_be_visible()
