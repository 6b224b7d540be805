"""A browser that looks at an inspector: the system's Chromium, by Playwright; where one is missing the tests skip."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from inspectors import TOKEN

from scimproxy.web.door import folder_of
from scimproxy.web.server import Inspector, InspectorOptions

api = pytest.importorskip("playwright.sync_api", reason="playwright is a dev dependency: ./scripts/test installs it")
CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: ./scripts/test installs it")

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Served:
    """An inspector in a thread of its own, which can be stopped and started again at its port."""

    def __init__(self, db: Path, **options: Any) -> None:
        self.options = replace(InspectorOptions(db=db, token=TOKEN, read_only=False), **options)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.start()

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def start(self) -> None:
        async def begin() -> Inspector:
            inspector = Inspector(self.options)
            await inspector.start()
            return inspector

        self.inspector = self._do(begin())
        self.options = replace(self.options, port=self.inspector.port)
        self.url = self.inspector.url.rstrip("/") + folder_of(self.options.token)

    def stop(self) -> None:
        self._do(self.inspector.stop())

    def close(self) -> None:
        self.stop()
        self._do(self.loop.shutdown_default_executor())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


@contextmanager
def chromium(*more: str) -> Iterator[Any]:
    """A browser without a window."""
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, *more])
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, served: Served, path: str = "/", *, quiet: bool = True, **context: Any) -> Iterator[Any]:
    """A page behind the door; at its end the console held no error and no violation of the policy."""
    made = browser.new_context(viewport={"width": 1400, "height": 900}, **context)
    page = made.new_page()
    page.set_default_timeout(15_000)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(f"{served.url}{path}#token={TOKEN}")
    page.locator("header.top").wait_for()  # the door, which has none, leads on by itself
    page.wait_for_load_state()
    try:
        yield page
    finally:
        made.close()
    if quiet:
        assert said == []


def rows(page: Any) -> Any:
    return page.locator(".row[data-id]")
