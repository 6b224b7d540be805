"""A recording that is hostile in every field, walked in Chromium: nothing of it becomes markup, runs, or hangs a page."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browsing import Served, api, chromium, needs_chromium, opened, rows
from factories import T0, connection, exchange, request, response, run, suite_step
from inspectors import ID

from scimproxy.exchange import Certificate, Failure, Rewrite, Tls, TunnelEvent
from scimproxy.store import Store
from scimproxy.store.suites import SuiteRows
from scimproxy.suite.results import SuiteResult

pytestmark = needs_chromium
X = "\"'><img src=x onerror=owned=1><script>owned=1</script><svg onload=owned=1>{{7*7}}</textarea></title>\x1b[2J\u202e"
USER = {
    "schemas": [X, "urn:ietf:params:scim:schemas:core:2.0:User"],
    "id": ID,
    "userName": X,
    "displayName": X,
    X: {X: [X, 1]},
    "profileUrl": "javascript:owned=1",
    "meta": {"version": X, "location": X},
}
DEEP = b'{"a":' * 200_000 + b"[" + b"1," * 1_900_000 + b"1]" + b"}" * 200_000
"""5 MB: nested 200,000 deep, and a list of 1.9 million."""


def record(db: Path) -> int:
    """Make the recording; returns how many exchanges are in it."""
    chain = (Certificate("ab" * 32, X, X, (X,), T0, T0 + 9),)
    fields: dict[str, Any] = {"note": X, "tags": (X,), "client": X}
    with Store.open(db) as store:
        for _ in range(2):
            one = store.start_run(run(name=X, note=X, target=X, public_url=f"https://{X}/scim"))
            assert one.id is not None
            add = lambda **more: store.add(exchange(**{"run_id": one.id, **fields, **more}))  # noqa: B023, E731
            add(
                request=request("POST", f"/scim/v2/Users?{X}={X}", body=USER, headers={X: X, "User-Agent": X}),
                response=response(201, USER, headers={X: X, "Location": X, "Set-Cookie": X}, reason=X),
                client_connection=connection(peer_host=X, closed_by=X, close_reason=X),
                upstream_connection=connection("upstream", server_name=X, tls=Tls(X, cipher=X, sni=X, chain=chain)),
                rewrites=(Rewrite(X, X, X),),
                ended=X,
            )
            add(request=request("GET", f'/scim/v2/Users?filter=userName eq "{X}"'), response=response(200, X))
            patch = {
                "Operations": [{"op": X, "path": X, "value": X}, {"op": "replace", "path": "name", "value": USER}]
            }
            add(method="PATCH", target=f"/scim/v2/Users/{ID}", body=patch, answer=USER)
            add(method="GET", target=f"/scim/v2/Users/{X}", response=None, failure=Failure("protocol", X))
            add(target="/scim/v2/Users/utf8", answer=b'{"userName":"\xff\xfe\xc3\x28 \xed\xa0\x80"}')
            add(target="/scim/v2/Users/ansi", answer=b"\x1b[2J\x1b]0;owned\x07\x9b2J\x00")
            store.tunnel_event(TunnelEvent(at=T0, state="up", url="javascript:owned=1", message=X, run_id=one.id))
        add(target="/scim/v2/Users/deep", answer=DEEP)
        suite = store.start_run(run(kind="suite", name=X))
        assert suite.id is not None
        number = store.add(exchange(run_id=suite.id, **fields))
        steps = SuiteRows(store, suite.id)
        told = {"name": X, "result": "fail", "started_at": T0, "ended_at": T0 + 1, "warnings": (X,), "canceled": X}
        steps.save(SuiteResult(**told, description=X, environment=X, source=X, initial_variables=((X, X),)))
        steps.add(replace(suite_step(note=X, exchange_id=number), method=X, url=X))
    return number


@pytest.fixture(name="browser", scope="module")
def _browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


def harmless(page: Any, where: str) -> None:
    """Nothing ran, and nothing is an element but what our templates make."""
    page.evaluate("() => new Promise((done) => setTimeout(done, 0))")
    assert page.evaluate("window.owned") is None, where
    found = page.evaluate(
        """[...document.querySelectorAll("img, iframe, object, base, [onerror], [onload], main script, [href^=javascript]")]
        .map(one => one.outerHTML)"""
    )
    assert found == [], where


def test_nothing_recorded_becomes_more_than_text(browser: Any, tmp_path: Path) -> None:
    last = record(tmp_path / "a.db")
    served = Served(tmp_path / "a.db")
    try:
        with opened(browser, served) as page:
            page.on("dialog", lambda dialog: pytest.fail(dialog.message))
            api.expect(rows(page)).to_have_count(last)
            harmless(page, "list")
            for number in (1, 4, 5, 6, last - 1):
                page.goto(f"{served.url}/exchanges/{number}")
                for name in ("Request", "Response", "Connection", "SCIM", "Raw"):
                    page.get_by_role("tab", name=name).click()
                    harmless(page, f"exchange {number}, {name}")
            page.goto(f"{served.url}/exchanges/3")
            page.get_by_role("tab", name="SCIM").click()
            api.expect(page.get_by_role("tabpanel")).to_contain_text("The resource before and after")
            page.get_by_role("button", name="Replay…").click()
            api.expect(page.get_by_role("dialog")).to_be_visible()
            harmless(page, "replay and resource")
            for path in (
                "/runs", "/runs/1", "/runs/3", "/diff?a=1&b=2", "/diff?of=exchanges&a=1&b=3", "/tunnel",
                f"/resources?type=User&id={ID}",
            ):  # fmt: skip
                page.goto(served.url + path)
                api.expect(page.locator("h1")).to_be_visible()
                harmless(page, path)
            page.goto(served.url)
            page.locator("#filter").fill(X[:40])
            api.expect(page.locator("#told, #empty, .row[data-id]").first).to_be_attached()
            harmless(page, "filter")
    finally:
        served.close()


def test_no_command_says_more_than_text_either(tmp_path: Path) -> None:
    record(tmp_path / "a.db")
    for words in (
        ["log", "1"], ["show", "1"], ["show", "5"], ["show", "6"], ["diff", "1", "2"], ["runs"], ["results", "3"],
        ["search", "users"], ["search", X[:40]], ["diff", "1:1", "1:3"], ["log", "1", "--filter", X], ["run", X],
    ):  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "scimproxy", *words, "--db", str(tmp_path / "a.db")],
            capture_output=True,
            check=False,
        )
        assert done.returncode in {0, 1, 2}, done.stderr
        assert b"Traceback" not in done.stderr, done.stderr
        assert not {0x1B, 0x07, 0x00, 0x9B} & {ord(one) for one in (done.stdout + done.stderr).decode()}, words
