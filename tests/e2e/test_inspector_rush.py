"""A thousand exchanges a second arrive: the page stays usable, and at the end it has been told of each.

For 6 seconds here; `./scripts/bench_pages.py --rush 20` lets it go on for 20 and says what it saw.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from browsing import Served, api, chromium, needs_chromium, opened, rows
from inspectors import fill

pytestmark = [needs_chromium, pytest.mark.slow, pytest.mark.serial]
SECONDS, RATE = int(os.environ.get("SCIMPROXY_RUSH_SECONDS", "6")), 1000
WRITER = """
import sys, time
from dataclasses import replace
sys.path[:] = sys.argv[4:]
from factories import exchange, run
from scimproxy.store import Store

with Store.open(sys.argv[1]) as store:
    mine = store.start_run(run(name="rush"))
    one = exchange("POST", status_code=201, body={"userName": "ada"}, run_id=mine.id)
    print("ready", flush=True)
    sys.stdin.readline()
    begun, count, rate = time.monotonic(), 0, int(sys.argv[3])
    while count < int(sys.argv[2]) * rate:
        for _ in range(rate // 50):
            store.submit(replace(one, request=replace(one.request, target=f"/scim/v2/Users/{count}")))
            count += 1
        time.sleep(max(0, begun + count / rate - time.monotonic()))
"""
WATCH = """
window.told = new Set(); window.long = [];
window.EventSource = class extends EventSource {
  constructor(url) {
    super(url);
    this.addEventListener("exchanges", (event) => {
      for (const one of JSON.parse(event.data).exchanges) told.add(one.id);
    });
  }
};
new PerformanceObserver((found) => long.push(...found.getEntries().map((one) => one.duration)))
  .observe({ type: "longtask" });
"""


def test_a_thousand_a_second_are_all_told_and_no_task_is_long(tmp_path: Path) -> None:
    fill(tmp_path / "a.db")
    served = Served(tmp_path / "a.db")
    words = [str(tmp_path / "a.db"), str(SECONDS), str(RATE), *sys.path]
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        with chromium() as browser, opened(browser, served) as page:
            page.add_init_script(WATCH)
            page.reload()
            api.expect(rows(page)).to_have_count(7)
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
            page.evaluate("long.length = 0")  # what the first page took is not the question
            writer.communicate("go\n", timeout=60 + SECONDS)
            api.expect(rows(page).first).to_have_id(f"x{7 + SECONDS * RATE}", timeout=30_000)
            assert page.evaluate("[...told].filter(id => id > 7).length") == SECONDS * RATE
            longest = page.evaluate("Math.max(0, ...long)")
            sys.stdout.write(f"{SECONDS} s at {RATE} a second: all told; the longest task took {longest:.0f} ms\n")
            assert longest <= 200
            page.keyboard.press("j")
            api.expect(page.locator(".exchange")).to_be_visible()
    finally:
        writer.kill()
        writer.wait(10)
        served.close()
