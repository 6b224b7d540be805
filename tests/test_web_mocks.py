"""A mock of a run from its page: a process that answers, is listed, and is gone with a button or with the inspector."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp
import pytest
from inspectors import ID, fill, inspecting

MOCK = "/api/v1/runs/1/mock"


@pytest.fixture(name="db")
def _db(tmp_path: Path) -> Path:
    fill(tmp_path / "a.db")
    return tmp_path / "a.db"


async def asked(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def test_a_mock_answers_and_is_stopped(db: Path) -> None:
    async with inspecting(db) as client:
        status, text, _ = await client.ask("POST", MOCK, json={"how": "recorded"})
        assert status == 200, text
        made = json.loads(text)
        assert made["command"].startswith("scimproxy mock 1 --db ")
        assert (await client.json("/api/v1/mocks"))["mocks"] == [made]
        status, text = await asked(f"{made['url'].rstrip('/')}/Users/{ID}")
        assert (status, json.loads(text)["userName"]) == (200, "bjensen")
        assert made["url"] in (await client.ask("GET", "/runs/1"))[1]
        assert made["url"] not in (await client.ask("GET", "/runs/2"))[1]
        assert (await client.ask("DELETE", f"/api/v1/mocks/{made['id']}"))[0] == 204
        with pytest.raises(aiohttp.ClientConnectionError):
            await asked(made["url"])
        assert (await client.json("/api/v1/mocks"))["mocks"] == []
        assert (await client.ask("DELETE", f"/api/v1/mocks/{made['id']}"))[0] == 404
        told = await client.json(f"/api/v1/runs/{made['id']}")
        assert told["kind"] == "mock"
        assert told["exchanges"] == 1
        assert told["ended_at"] is not None  # it ended in order
        # Another one ends with the inspector.
        left = json.loads((await client.ask("POST", MOCK, json={"how": "stateful"}))[1])
        assert left["command"].startswith("scimproxy mock 1 --stateful --db ")
    with pytest.raises(aiohttp.ClientConnectionError):
        await asked(left["url"])


async def test_what_cannot_be_mocked_is_said(db: Path) -> None:
    async with inspecting(db) as client:
        assert (await client.ask("POST", MOCK, json={"how": "--upstream"}))[0] == 400
        assert (await client.ask("POST", "/api/v1/runs/99/mock", json={}))[0] == 404
    async with inspecting(db, read_only=True) as client:
        assert (await client.ask("POST", MOCK, json={}))[0] == 403
        page = (await client.ask("GET", "/runs/1"))[1]
        assert "scimproxy mock 1 --db" in page
        assert "Start it here" not in page
