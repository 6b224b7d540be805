"""A whole run sent again from its page, over real sockets: progress, the comparison, an end, no credentials kept."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from inspectors import Client, fill, inspecting
from listeners import http, listener

REPLAY = "/api/v1/runs/1/replay"
AUTH = "Bearer nobody-may-keep-this"


@pytest.fixture(name="db")
def _db(tmp_path: Path) -> Path:
    fill(tmp_path / "a.db")
    return tmp_path / "a.db"


async def ended(client: Client, run_id: int) -> Any:
    async with asyncio.timeout(30):
        while not (found := await client.json(f"/api/v1/runs/{run_id}/replay"))["ended"]:
            pass  # asked anew over the socket: that waits
    return found


async def test_a_run_is_sent_again_and_compared(db: Path) -> None:
    with listener(lambda _: http(404)) as port:
        async with inspecting(db) as client:
            given = {"to": f"http://127.0.0.1:{port}/scim/v2", "auth": AUTH, "fresh_names": True}
            status, text, _ = await client.ask("POST", REPLAY, json=given)
            assert status == 200, text
            begun = json.loads(text)
            assert (begun["run_id"], begun["source_run_id"]) == (3, 1)
            found = await ended(client, 3)
            assert found["done"] == found["total"] > 0
            assert found["problem"] is None
            assert found["breaking"]
            assert (await client.json("/api/v1/diff?a=1&b=3"))["counts"]["breaking"]
            assert AUTH not in text + json.dumps(found)
    assert b"nobody-may-keep-this" not in b"".join(one.read_bytes() for one in db.parent.iterdir())


async def test_a_replay_can_be_stopped_and_says_so(db: Path) -> None:
    asked, held = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await held.wait()
        writer.write(http(404))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, inspecting(db) as client:
        await client.ask("POST", REPLAY, json={"to": f"http://127.0.0.1:{port}/scim/v2"})
        await asked.wait()
        assert (await client.ask("DELETE", "/api/v1/runs/3/replay"))[0] == 204
        held.set()
        found = await ended(client, 3)
        assert "stopped from the page" in found["problem"]
        assert found["done"] == 1


async def test_what_cannot_be_replayed_is_said_and_nothing_is_begun(db: Path) -> None:
    async with inspecting(db) as client:
        for given in ({"to": "ftp://x/"}, {"to": "http://127.0.0.1:1/", "auth": "Bearer \x00"}, {"to": 1}):
            assert (await client.ask("POST", REPLAY, json=given))[0] == 400
        assert (await client.ask("POST", "/api/v1/runs/99/replay", json={}))[0] == 404
        for method in ("GET", "DELETE"):
            assert (await client.ask(method, "/api/v1/runs/1/replay"))[0] == 404
        assert len((await client.json("/api/v1/runs"))["runs"]) == 2
    async with inspecting(db, read_only=True) as client:
        assert (await client.ask("POST", REPLAY, json={}))[0] == 403
        assert "run-replaying" not in (await client.ask("GET", "/runs/1"))[1]
