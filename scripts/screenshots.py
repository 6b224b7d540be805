"""The work of scripts/screenshots: records with the embedded servers, then takes each state of the pages as WebP.

One rule: nothing in a picture is drawn by hand: clients, suites, replays and reports are the program's own, over real
sockets. Only the tunnel's events are written here, because a picture may not open a tunnel.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from e2e.proxy import Proxy  # noqa: E402 - the path is set above
from okta_like import OktaLike  # noqa: E402
from runscope_like import Runscope  # noqa: E402

from scimproxy.demo import Demo, serve  # noqa: E402
from scimproxy.exchange import TunnelEvent  # noqa: E402
from scimproxy.store import Reader, Store  # noqa: E402
from scimproxy.suite.library import bundled  # noqa: E402
from scimproxy.suite.runscope import parse  # noqa: E402
from scimproxy.web.door import folder_of  # noqa: E402
from scimproxy.web.server import Inspector, InspectorOptions  # noqa: E402

TOKEN = "for-the-pictures-only-and-no-longer"
PUBLIC = "https://scim-demo.example.app/scim/v2"
SIZES = {1400: 900, 800: 900}
SCHEMES = ("light", "dark")
QUALITY = 70
DEFECTS = ("filter-ignored", "empty-filter-404", "delete-200", "total-results-text", "error-no-detail")


class Loop:
    """An event loop in a thread of its own: Playwright has this one."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def __call__[T](self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)


def scimproxy(db: Path, *words: str, auth: str = "", may_fail: bool = False) -> None:
    """Run a command on the database; `auth` is its standard input."""
    done = subprocess.run(
        [sys.executable, "-m", "scimproxy", *words, "--db", str(db)],
        cwd=db.parent,
        env={**os.environ, "NO_COLOR": "1"},
        input=auth,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in ((0, 1) if may_fail else (0,)):
        raise SystemExit(f"scimproxy {' '.join(words)}:\n{done.stdout}{done.stderr}")


def record(db: Path, good: Demo, bad: Demo) -> None:
    """Record what the pictures show: a client, suites that pass and fail, a replay."""
    for server, name in ((good, "build 41"), (bad, "build 42")):
        with Proxy(server.url, db, "--name", name, "--no-ui") as proxy:
            client = OktaLike(proxy.url, server.token)
            client.everything()
            client.send("GET", f"/Users/{server.user_id}")
            client.patch(f"/Users/{server.user_id}", {"op": "replace", "path": "title", "value": "Tour Guide"})
            client.send("GET", f"/Users/{server.user_id}")
            client.close()
            words = ("run", "scim2-spec", "--target", proxy.url, "--auth", "-")
            scimproxy(db, *words, auth=f"Bearer {server.token}", may_fail=True)
    with Store.open(db) as store, Reader.open(db) as reader:
        recorded = next(run for run in reader.runs(newest_first=True) if run.kind == "record")
        begun = time.time() - 900
        for at, state, url, message in (
            (0, "starting", None, None),
            (2, "up", PUBLIC, None),
            (480, "down", PUBLIC, "the agent ended with code 1; it is started again"),
            (484, "up", PUBLIC, "the same URL as before"),
        ):
            store.tunnel_event(TunnelEvent(at=begun + at, state=state, url=url, message=message, run_id=recorded.id))
        store.update_run(replace(recorded, public_url=PUBLIC))
    words = ("replay", "1", "--to", bad.url, "--auth", "-", "--fresh-names")
    scimproxy(db, *words, auth=f"Bearer {bad.token}", may_fail=True)


def follow(browser: Browser, url: str, run_id: int) -> str:
    """Have the inspector follow the suite of Runscope in a recording that goes on; return the path of its page."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{url}/#token={TOKEN}")
    page.locator(".row[data-id]").first.wait_for()
    page.goto(f"{url}/runs/{run_id}")
    page.get_by_role("button", name="Match with a suite…").click()
    page.locator("#match-suite").select_option("scim2-spec")
    page.get_by_role("button", name="Match", exact=True).click()
    link = page.locator("a.pill")
    link.wait_for()
    path = (link.get_attribute("href") or "").removeprefix(urlsplit(url).path)
    context.close()
    return path


@dataclass(frozen=True)
class State:
    """One picture: where, and what is done there first."""

    name: str
    path: str
    ready: str
    act: Callable[[Page], None] = lambda _page: None


def states(db: Path, report: Path, following: str) -> Iterator[State]:
    """Give the states, with the numbers that they have in this recording."""
    with Reader.open(db) as reader:
        runs = reader.runs()
        rows = [row for run in runs if run.id is not None for row in reader.exchanges(run.id)]
    records = [run.id for run in runs if run.kind == "record"]
    suites = [run.id for run in runs if run.kind == "suite"]
    replayed = next(run.id for run in runs if run.kind == "replay")
    mine = [row for row in rows if row.run_id == records[1]]
    patched = next(row for row in mine if row.method == "PATCH" and "/Users/" in row.target)
    listed = next(row for row in mine if row.method == "GET" and row.status_code == 200 and "filter" in row.target)
    created = next(row for row in mine if row.method == "POST" and row.status_code == 201)
    resource = f"/resources?type=User&id={created.resource_id or patched.resource_id}"

    def tab(number: int) -> Callable[[Page], None]:
        def act(page: Page) -> None:
            page.keyboard.press(str(number))
            if number == 4:
                page.locator("[data-fill=resource] .json").first.wait_for()
            page.evaluate("document.activeElement.blur()")

        return act

    def typing(page: Page) -> None:
        page.locator("#filter").fill("status:4xx ")
        page.locator("#filter").press_sequentially("op:")
        page.get_by_role("option").nth(3).wait_for()
        page.keyboard.press("ArrowDown")

    def comparing(page: Page) -> None:
        page.get_by_role("button", name="Compare with…").click()
        page.locator(".near li").nth(2).wait_for()
        page.keyboard.press("ArrowDown")

    def replaying(page: Page) -> None:
        page.get_by_role("button", name="Replay…").click()
        page.locator("#replaying[open]").wait_for()

    yield State("list", f"/?run={suites[1]}", ".row[data-id]")
    yield State("detail", f"/exchanges/{created.id}?run={records[1]}", ".exchange", tab(2))
    yield State("connection", f"/exchanges/{listed.id}?run={records[1]}", ".exchange", tab(3))
    yield State("scim", f"/exchanges/{patched.id}?run={records[1]}", ".exchange", tab(4))
    yield State("compare", f"/exchanges/{patched.id}?run={records[1]}", ".exchange", comparing)
    yield State("filter", "/", ".row[data-id]", typing)
    yield State("replay", f"/exchanges/{created.id}?run={records[1]}", ".exchange", replaying)
    yield State("runs", "/runs", "h1")
    yield State("suite", f"/runs/{suites[1]}", "h1")
    yield State("following", following, "h1")
    yield State("diff", f"/diff?a={records[0]}&b={replayed}", ".verdict")
    yield State("resource", resource, "h1")
    yield State("tunnel", "/tunnel", "h1")
    yield State("report", report.as_uri(), "h1")


def take(page: Page, path: Path) -> None:
    """Write what the page shows as WebP."""
    session = page.context.new_cdp_session(page)
    found = session.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    path.write_bytes(base64.b64decode(found["data"]))
    session.detach()


def pictures(browser: Browser, url: str, all_states: list[State], folder: Path) -> None:
    """Take every state in every size and scheme."""
    for width, height in SIZES.items():
        for scheme in SCHEMES:
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce",
                timezone_id="Europe/Berlin", locale="en-GB",
            )  # fmt: skip
            page = context.new_page()
            page.goto(f"{url}/#token={TOKEN}")
            page.locator(".row[data-id]").first.wait_for()
            for state in all_states:
                name = f"{state.name}-{width}-{scheme}.webp"
                page.goto(state.path if "://" in state.path else url + state.path)
                page.locator(state.ready).first.wait_for()
                state.act(page)
                page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
                take(page, folder / name)
            context.close()


@contextmanager
def inspecting(loop: Loop, db: Path) -> Iterator[str]:
    """An inspector on the database; gives its URL."""

    async def begin() -> Inspector:
        inspector = Inspector(InspectorOptions(db=db, token=TOKEN, read_only=False))
        await inspector.start()
        return inspector

    inspector = loop(begin())
    try:
        yield inspector.url.rstrip("/") + folder_of(TOKEN)
    finally:
        loop(inspector.stop())


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "docs" / "images")
    options = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("chromium is not installed")
    options.folder.mkdir(parents=True, exist_ok=True)
    loop = Loop()
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        db, report = Path(name) / "scimproxy.db", Path(name) / "run.html"
        good, bad = loop(serve()), loop(serve(defects=DEFECTS))
        record(db, good, bad)
        with Reader.open(db) as reader:
            failed = [str(one.id) for one in reader.runs() if one.kind == "suite"][1]
        scimproxy(db, "report", failed, "-o", str(report))
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        with Proxy(bad.url, db, "--name", "build 43", "--no-ui") as proxy, inspecting(loop, db) as url:
            (suite,) = parse(bundled()["scim2-spec"].read_bytes())
            given = {"SCIMBaseURL": proxy.url, "auth": f"Bearer {bad.token}"}
            # Playwright has the loop of this thread.
            outside = threading.Thread(target=Runscope(suite, given, ends_before="31").run)
            outside.start()
            outside.join()
            with Reader.open(db) as reader:
                newest = next(run.id or 0 for run in reader.runs(newest_first=True) if run.kind == "record")
            made = list(states(db, report, follow(browser, url, newest)))
            pictures(browser, url, made, options.folder)
        browser.close()
        loop(good.close())
        loop(bad.close())
    sizes = sorted(options.folder.glob("*.webp"))
    print(f"{len(sizes)} pictures, {sum(path.stat().st_size for path in sizes):,} bytes")


if __name__ == "__main__":
    main()
