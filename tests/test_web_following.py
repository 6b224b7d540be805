"""Suites that are looked for in recordings: begun, told, stopped; found again; by a page, a program, `up --suite`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from factories import T0
from inspectors import Client, inspecting
from seen_suites import TEXT, play, recorded

from scimproxy.errors import StoreError
from scimproxy.store import Reader, Store, prune
from scimproxy.suite.results import StepResult
from scimproxy.suite_follow import Followed, SuiteFollowing

MATCH = "/api/v1/runs/1/match"


async def until(client: Client, path: str, there: Callable[[Any], object]) -> Any:
    """What the API tells, once it tells that; asked after every commit."""
    async with asyncio.timeout(30), client.inspector._feed.watching() as changed:
        while not there(found := await client.json(path)):
            await changed.wait()
            changed.clear()
    return found


def ended(told: Any) -> bool:
    return not any(one["going"] for one in told["suites"])


def between_steps(told: Any) -> bool:
    last = told["suites"][0]["last"]
    return bool(last["done"] and last["waiting"])


async def test_a_recording_that_has_ended_is_matched_at_once(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    recorded(db, "ada", "bea")
    async with inspecting(db) as client:
        status, _, _ = await client.ask("POST", MATCH, json={"text": TEXT, "name": "two.json"})
        assert status == 200
        told = await until(client, MATCH, ended)
        (one,) = told["suites"]
        assert (one["suite"], one["source"], one["runs_seen"], one["problem"]) == ("Two", "two.json", 2, None)
        assert (one["last"]["state"], one["last"]["result"], one["last"]["waiting"]) == ("ended", "pass", [])
        suite = await client.json("/api/v1/runs/3/suite")
        assert (suite["result"], [it["number"] for it in suite["requests"]]) == ("pass", ["1", "2", "3"])
        listed = await client.json("/api/v1/exchanges?run=1")
        assert {it["exchange_id"]: it["number"] for it in listed["steps"]} == {1: "1", 3: "3", 4: "1", 6: "3"}
        # Its page, and that of the recording, and the part of an exchange.
        page = (await client.ask("GET", "/runs/3"))[1]
        assert "Run from outside" in page
        assert '/exchanges/6?run=1"' in page
        assert (await client.ask("GET", "/runs/1"))[1].count('<a class="pass" href="') == 2
        assert "step 3: Read" in (await client.ask("GET", "/parts/exchanges/3"))[1]
        # Once more: nothing is stored twice.
        await client.ask("POST", MATCH, json={"text": TEXT})
        await until(client, MATCH, ended)
        assert len((await client.json("/api/v1/runs"))["runs"]) == 3
    with Reader.open(db) as reader:
        assert [one.id for one in reader.all_whole(3)] == [4, 6]
    # What was seen in a recording goes with it.
    assert prune(db, now=T0 + 100, only={1}).run_ids == (1, 2, 3)


async def test_a_run_that_goes_on_is_told_step_by_step(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    recorded(db, ended=False)
    with Store.open(db) as store:
        async with inspecting(db) as client:
            await client.ask("POST", MATCH, json={"text": TEXT})
            assert "waiting for its first request" in (await client.ask("GET", "/runs/1"))[1]
            play(store, 1, "ada", reads=None)
            told = await until(client, MATCH, lambda it: it["suites"][0]["last"])
            last = (await until(client, MATCH, between_steps))["suites"][0]["last"]
            assert last["waiting"] == [{"number": "3", "title": "Read", "pause_s": 5.0, "here": True}]
            assert (last["state"], last["silent_after_s"], told["run_id"]) == ("stopped?", 25.0, 1)
            page = (await client.ask("GET", "/parts/runs/2"))[1]
            assert "next is 3. Read, after a pause of 5 s" in page
            assert (await client.ask("GET", "/parts/runs/1"))[1].count("stopped?") == 1
            assert (await client.ask("DELETE", MATCH))[0] == 204
            (one,) = (await until(client, MATCH, ended))["suites"]
            assert one["last"]["result"] == "canceled"
            # Begun again, it goes on with the run it had.
            play(store, 1, "ada")
            await client.ask("POST", MATCH, json={"text": TEXT})
            await until(client, MATCH, lambda it: it["suites"][0]["runs_seen"] == 2)
        store.finish_run(1, ended_at=T0 + 60)
    with Reader.open(db) as reader:
        assert [(one.id, one.source_run_id) for one in reader.seen_in([1])] == [(2, 1), (3, 1)]
        found = reader.suite(2)
        assert found is not None
        assert [step.number for step in found.steps] == ["1", "2"]


async def test_what_cannot_be_followed_is_refused(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    recorded(db, "ada")
    async with inspecting(db) as client:
        for given, words in (
            ({"suite": "nothing"}, "no bundled suite"),
            ({}, "no bundled suite"),
            ({"text": "{"}, "suite.json"),
            ({"text": " " * 200_001}, "larger than 200 kB"),
        ):
            status, text, _ = await client.ask("POST", MATCH, json=given)
            assert (status, words in text) == (400, True), text
        assert (await client.ask("DELETE", MATCH))[0] == 404
        assert (await client.ask("POST", "/api/v1/runs/9/match", json={"text": TEXT}))[0] == 404
        await client.ask("POST", MATCH, json={"text": TEXT})
        await until(client, MATCH, ended)
        assert "is no recording" in (await client.ask("POST", "/api/v1/runs/2/match", json={"text": TEXT}))[1]
    many = "[" + ",".join(TEXT.replace('"Two"', f'"T{at}"') for at in range(9)) + "]"
    other = tmp_path / "b.db"
    recorded(other, ended=False)
    async with inspecting(other) as client:
        assert "8 suites are being followed" in (await client.ask("POST", MATCH, json={"text": many}))[1]
    async with inspecting(db, read_only=True) as client:
        assert (await client.ask("POST", MATCH, json={"text": TEXT}))[0] == 403
        assert "Match with a suite" not in (await client.ask("GET", "/runs/1"))[1]


async def test_the_suites_of_up_are_looked_for_in_the_recording_that_begins(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    (tmp_path / "two.json").write_text(TEXT, encoding="utf-8")
    suites = (str(tmp_path / "two.json"), str(tmp_path / "gone.json"), "lifecycle")
    recorded(db, "ada")
    async with inspecting(db, suites=suites) as client:
        assert client.inspector.after_run == 1
        await asyncio.to_thread(recorded, db, "bea", ended=False)
        told = await until(
            client, "/api/v1/runs/2/match", lambda it: len(it["suites"]) == 2 and it["suites"][0]["last"]
        )
        assert [one["source"] for one in told["suites"]] == ["two.json", "lifecycle"]
    # Started again in the middle, it looks in the same one.
    async with inspecting(db, suites=suites, after_run=1) as client:
        await until(client, "/api/v1/runs/2/match", lambda it: it["suites"] and it["suites"][0]["last"])
    with Reader.open(db) as reader:
        assert len(reader.seen_in([2])) == 1


async def test_a_recording_that_goes_under_it_is_told(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    recorded(db, ended=False)
    async with inspecting(db) as client:
        await client.ask("POST", MATCH, json={"text": TEXT})
        with Store.open(db) as store:
            store.delete_run(1)
        async with asyncio.timeout(30), client.inspector._feed.watching() as changed:
            while not (told := client.inspector._follows.told(1)["suites"][0])["problem"]:
                await changed.wait()
                changed.clear()
        assert told["problem"] == "there is no run 1"


async def test_a_busy_database_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    db = tmp_path / "a.db"
    recorded(db, "ada", "bea")
    monkeypatch.setattr("scimproxy.web.following._AGAIN_S", 0.01)
    notes = SuiteFollowing._note
    calls: list[int] = []

    def busy(self: SuiteFollowing, followed: Followed, step: StepResult) -> StepResult:
        calls.append(1)
        if len(calls) in {2, 5}:
            raise StoreError("the database is busy")
        return notes(self, followed, step)

    monkeypatch.setattr(SuiteFollowing, "_note", busy)
    async with inspecting(db) as client:
        await client.ask("POST", MATCH, json={"text": TEXT})
        (one,) = (await until(client, MATCH, ended))["suites"]
        assert (one["problem"], one["last"]["result"]) == (None, "pass")
    with Reader.open(db) as reader:
        for run in reader.seen_in([1]):
            found = reader.suite(run.id or 0)
            assert found is not None
            assert [step.number for step in found.steps] == ["1", "2", "3"]
