"""The stream of events: what is written is told, in order, once a page is there, and after it was away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from factories import exchange, run, suite_step
from inspectors import TOKEN, Client, inspecting

from scimproxy.store import Store
from scimproxy.store.suites import SuiteRows
from scimproxy.suite.results import SuiteResult


class Events:
    """What a page is told."""

    def __init__(self, lines: Any) -> None:
        self._lines = lines
        self.last = ""

    async def next(self, wanted: str = "exchanges") -> Any:
        """The data of the next event of a name."""
        name, data = "", ""
        async with asyncio.timeout(20):
            while True:
                raw = await self._lines.readline()
                if not raw:
                    raise EOFError
                line = raw.decode().rstrip("\n")
                if line.startswith("id: "):
                    self.last = line[4:]
                elif line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: "):
                    data = line[6:]
                elif not line and name == wanted:
                    return json.loads(data)

    async def until(self, number: int) -> list[int]:
        """The ids that are told, up to one."""
        seen: list[int] = []
        while number not in seen:
            seen += [row["id"] for row in (await self.next())["exchanges"]]
        return seen


@asynccontextmanager
async def watching(client: Client, query: str = "", **headers: str) -> AsyncIterator[Events]:
    given = {"Authorization": f"Bearer {TOKEN}", **headers}
    async with client.http.get(f"{client.url}/api/v1/events{query}", headers=given) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        events = Events(answer.content)
        await events.next("hello")
        yield events


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Any:
    with Store.open(tmp_path / "a.db") as store:
        store.start_run(run())
        yield store


async def test_exchanges_come_as_they_are_written_in_flight_ones_too(store: Store) -> None:
    async with inspecting(store.path) as client, watching(client) as events:
        flying = exchange(state="pending", response=None)
        store.pending(flying)
        told = (await events.next())["exchanges"]
        assert [row["state"] for row in told] == ["pending"]
        store.add(exchange(uid=flying.uid))
        again = (await events.next())["exchanges"]
        assert [(row["id"], row["state"]) for row in again] == [(told[0]["id"], "complete")]
        assert int(events.last) == again[0]["seq"]


async def test_a_page_that_was_away_misses_nothing(store: Store) -> None:
    async with inspecting(store.path) as client:
        async with watching(client) as events:
            store.add(exchange())
            await events.until(1)
        for _ in range(1_200):  # more than one batch
            store.submit(exchange())
        store.flush()
        async with watching(client, **{"Last-Event-ID": events.last}) as later:
            assert await later.until(1_201) == list(range(2, 1_202))
        async with watching(client, f"?after={events.last}") as later:
            assert (await later.until(1_201))[0] == 2


async def test_a_page_that_was_away_misses_no_step(store: Store) -> None:
    suite = store.start_run(run(kind="suite", name="suite"))
    assert suite.id is not None
    rows = SuiteRows(store, suite.id)
    rows.save(SuiteResult(name="suite", result="pass"))

    def play(number: int, *, ends: bool = True) -> int:
        made = store.add(exchange(run_id=suite.id))
        if ends:
            rows.add(suite_step(number=str(number), exchange_id=made))
        return made

    async with inspecting(store.path) as client:
        play(1)
        async with watching(client) as events:
            last = play(2, ends=False)
            await events.until(last)
        rows.add(suite_step(number="2", exchange_id=last))
        for number in (3, 4, 5):
            play(number)
        async with watching(client, **{"Last-Event-ID": events.last}) as later:
            steps: list[str] = []
            while "5" not in steps:
                steps += [step["number"] for step in (await later.next())["steps"]]
    assert steps == ["2", "3", "4", "5"]


async def test_a_filter_tells_what_fits_and_what_fits_no_more(store: Store) -> None:
    async with inspecting(store.path) as client, watching(client, "?filter=is:pending") as events:
        flying = exchange(state="pending", response=None)
        store.add(exchange())
        store.pending(flying)
        while not (told := await events.next())["exchanges"]:
            pass
        number = told["exchanges"][0]["id"]
        store.add(exchange(uid=flying.uid))
        while number not in (told := await events.next())["gone"]:
            pass
        assert told["exchanges"] == []


async def test_words_and_operations_are_filtered_too(store: Store) -> None:
    async with inspecting(store.path) as client, watching(client, "?filter=op:patch+needle") as events:
        store.add(exchange("PATCH", "/scim/v2/Users/1", body={"Operations": []}))
        store.add(exchange("PATCH", "/scim/v2/Users/1", body={"Operations": [], "x": "needle"}))
        while not (told := await events.next())["exchanges"]:
            pass
        assert [row["id"] for row in told["exchanges"]] == [2]


async def test_the_steps_and_the_end_of_a_suite_are_told(store: Store) -> None:
    suite = store.start_run(run(kind="suite", name="suite"))
    assert suite.id is not None
    rows = SuiteRows(store, suite.id)
    rows.save(SuiteResult(name="suite", result="pass"))
    async with inspecting(store.path) as client, watching(client, f"?run={suite.id}") as events:
        number = store.add(exchange(run_id=suite.id))
        rows.add(suite_step(exchange_id=number))
        steps: list[Any] = []
        while not steps:
            steps = (await events.next())["steps"]
        assert steps[0]["exchange_id"] == number
        store.finish_run(suite.id, ended_at=1_790_000_100.0)
        while not [one for one in (await events.next())["runs"] if one["ended_at"]]:
            pass


async def test_only_so_many_watch(store: Store) -> None:
    async with inspecting(store.path) as client:
        held = [watching(client) for _ in range(24)]
        for one in held:
            await one.__aenter__()
        status, text, _ = await client.ask("GET", "/api/v1/events")
        assert status == 400
        assert "watch" in text
        for one in held:
            await one.__aexit__(None, None, None)


async def test_the_server_stops_while_pages_watch(store: Store) -> None:
    async with inspecting(store.path) as client, watching(client) as events:
        await client.inspector.stop()
        with pytest.raises(EOFError):
            await events.next()
