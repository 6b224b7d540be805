"""Private or Shareable over real sockets: the link is told once, leads to another port, and is dead at once."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import aiohttp
import pytest
from inspectors import fill, inspecting
from listeners import free_port

from scimproxy.store.shares import share_run, shares

SHARE = "/api/v1/runs/1/share"


@pytest.fixture(name="db")
def _db(tmp_path: Path) -> Path:
    fill(tmp_path / "a.db")
    return tmp_path / "a.db"


async def seen(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def test_a_link_is_told_once_and_is_dead_when_the_run_is_private(db: Path) -> None:
    async with inspecting(db) as client:
        assert await client.json(SHARE) == {"shareable": False}
        status, text, _ = await client.ask("POST", SHARE, json={})
        assert status == 200
        url = json.loads(text)["url"]
        status, page = await seen(url)
        assert status == 200
        assert "first" in page
        assert "bjensen" not in page  # pseudonyms, unless asked otherwise
        told = await client.json(SHARE)
        assert (told["shareable"], told["keep_names"]) == (True, False)
        secret = url.rpartition("/")[2]
        for path in ("/runs", "/runs/1", SHARE, "/api/v1/runs"):
            assert secret not in (await client.ask("GET", path))[1]
        assert 'aria-checked="true"' in (await client.ask("GET", "/runs/1"))[1]
        # Another link: the first is dead.
        again = json.loads((await client.ask("POST", SHARE, json={"keep_names": True}))[1])["url"]
        assert (await seen(url))[0] == 404
        assert "bjensen" in (await seen(again))[1]
        assert (await client.ask("DELETE", SHARE))[0] == 204
        assert (await seen(again))[0] == 404
        assert (await client.json(SHARE)) == {"shareable": False}


async def test_the_share_listener_serves_nothing_of_the_inspector(db: Path) -> None:
    async with inspecting(db) as client:
        url = json.loads((await client.ask("POST", SHARE, json={}))[1])["url"]
        base = url.partition("/s/")[0]
        assert base != client.url
        for path in ("/", "/runs", "/api/v1/runs", "/static/page.js", "/s/", f"/s/{'x' * 43}"):
            assert await seen(base + path) == (404, "There is nothing here.\n")
        assert (await seen(client.url + url.removeprefix(base)))[0] in {401, 404}


async def test_what_was_shared_from_here_ends_with_the_inspector(db: Path) -> None:
    share_run(db, 2, "t" * 43, keep_names=False, now=0, expires_at=None)
    async with inspecting(db) as client:
        assert (await client.ask("POST", SHARE, json={}))[0] == 200
        assert [one.run_id for one in shares(db)] == [1, 2]
        assert (await client.json("/api/v1/runs/2/share"))["shareable"] is True
    assert [one.run_id for one in shares(db)] == [2]  # `scimproxy share` in another terminal goes on


async def test_what_a_killed_listener_left_is_taken_away_by_the_next(db: Path) -> None:
    share_run(db, 1, "t" * 43, keep_names=False, now=0, expires_at=None)
    share_run(db, 2, "u" * 43, keep_names=False, now=0, expires_at=None)
    with contextlib.closing(sqlite3.connect(db)) as conn, conn:
        conn.execute("UPDATE shares SET process = '4194305:1' WHERE run_id = 1")  # above every process id
    async with inspecting(db):
        with contextlib.closing(sqlite3.connect(db)) as conn:
            assert conn.execute("SELECT run_id FROM shares").fetchall() == [(2,)]


async def test_links_lead_to_the_port_that_was_asked_for(db: Path) -> None:
    port = free_port()
    async with inspecting(db, share_port=port) as client:
        url = json.loads((await client.ask("POST", SHARE, json={}))[1])["url"]
        assert url.startswith(f"http://127.0.0.1:{port}/s/")
        async with inspecting(db, share_port=port) as other:
            status, text, _ = await other.ask("POST", SHARE, json={})
            assert status == 400
            assert "--share-port" in text
            assert (await seen(url))[0] == 200  # the first goes on


async def test_an_inspector_that_only_shows_shares_nothing(db: Path) -> None:
    async with inspecting(db, read_only=True) as client:
        for method in ("POST", "DELETE"):
            assert (await client.ask(method, SHARE, json={}))[0] == 403
        assert "data-share" not in (await client.ask("GET", "/runs"))[1]
    async with inspecting(db) as client:
        assert (await client.ask("POST", "/api/v1/runs/99/share", json={}))[0] == 404
        assert (await client.ask("POST", SHARE, json={"keep_names": "yes"}))[0] == 400
    assert shares(db) == []
