"""Other servers and other names, in a real Chromium that is logged in: they read nothing, change nothing, get no cookie."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from browsing import Served, api, chromium, needs_chromium, opened, rows
from inspectors import TOKEN, fill

from scimproxy.store import Reader

pytestmark = needs_chromium
TRIES = """async (base) => {
  const seen = [];
  const asked = (path, more) => fetch(base + path, { credentials: "include", ...more })
    .then(async (answer) => { const text = await answer.text(); if (text) seen.push(`${path}: ${text}`); }, () => null);
  await asked("/api/v1/exchanges");
  await asked("/api/v1/exchanges", { mode: "no-cors" });
  await asked("/api/v1/runs/1", { method: "DELETE" });
  await asked("/api/v1/runs/1", { method: "POST", mode: "no-cors", body: "{}", headers: { "Content-Type": "text/plain" } });
  const loads = (tag, name, path) => new Promise((done) => {
    const made = document.createElement(tag);
    made[name] = base + path;
    made.onload = () => done(`${tag} ${path}`); made.onerror = () => done(null);
    document.body.append(made);
  });
  for (const one of [["script", "src", "/static/page.js"], ["img", "src", "/static/icon.svg"], ["script", "src", "/api/v1/exchanges"]]) {
    const loaded = await loads(...one);
    if (loaded) seen.push(loaded);
  }
  await new Promise((done) => {
    const source = new EventSource(`${base}/api/v1/events?after=0`, { withCredentials: true });
    source.onmessage = (event) => seen.push(event.data);
    source.onerror = () => { source.close(); done(); };
  });
  return seen;
}"""


class Neighbour:
    """Another server on loopback, and all that browsers said to it."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        heard = self.heads

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                heard.append(f"{self.path}\n{self.headers}")
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", "11")
                self.end_headers()
                self.wfile.write(b"<body>hello")

            def log_message(self, *_given: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@contextmanager
def neighbour() -> Iterator[Neighbour]:
    made = Neighbour()
    thread = Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()
        thread.join(10)


def test_neither_a_neighbour_nor_a_rebound_name_reads_or_changes_anything(tmp_path: Path) -> None:
    fill(tmp_path / "a.db")
    served = Served(tmp_path / "a.db")
    root, _, folder = served.url.rpartition("/")
    port = served.inspector.port
    try:
        with chromium("--host-resolver-rules=MAP evil.example 127.0.0.1") as browser, neighbour() as other:
            with opened(browser, served, quiet=False) as page:
                api.expect(rows(page)).to_have_count(7)
                (cookie,) = page.context.cookies()
                assert (cookie["path"], cookie["httpOnly"], cookie["sameSite"]) == (f"/{folder}/", True, "Strict")
                # The neighbour's page is of the same site (ports are no part of it): it gets no cookie of ours.
                page.goto(f"{other.url}/any/path")
                for base in (root, served.url):
                    assert page.evaluate(TRIES, base) == [], base
                assert other.heads
                assert not [head for head in other.heads if "scimproxy" in head or cookie["value"] in head]
                # A form of it, sent by a person who was made to press a button.
                page.set_content(f'<form method=post action="{served.url}/api/v1/runs/1"><button>win</button></form>')
                with page.expect_navigation() as told:
                    page.get_by_role("button").click()
                assert told.value.status == 403
                # A name of somebody else that leads here, to our port: not even with the token.
                for path in ("/", f"/{folder}/", "/static/page.js"):
                    answer = page.goto(f"http://evil.example:{port}{path}#token={TOKEN}")
                    assert answer.status == 421
                    assert folder not in page.content().replace(page.url, "")
                # No frame shows it, ours least of all.
                page.goto(other.url)
                page.set_content(f'<iframe src="{served.url}/"></iframe>')
                assert "bjensen" not in json.dumps([frame.content() for frame in page.frames])
            with Reader.open(tmp_path / "a.db") as reader:
                first = reader.run(1)
            assert first is not None
            assert (first.name, first.exchange_count) == ("first", 6)
    finally:
        served.close()
