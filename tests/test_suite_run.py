"""A suite's run over real sockets: what is sent, stored and told; secrets, interruption, a look at the target."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from scimproxy.app import Stop
from scimproxy.demo import Demo, serve
from scimproxy.store import Reader
from scimproxy.store.rows import from_iso, to_iso
from scimproxy.suite.effects import Began, Ended, RunScript, ScriptDone
from scimproxy.suite.library import bundled
from scimproxy.suite.results import SuiteResult
from scimproxy.suite.runscope import parse
from scimproxy.suite.script import ScriptEngine
from scimproxy.suite_run import Sandbox, Started, SuiteOptions, inspect_target, run_suite, seed_user

TOKEN = "token-of-the-test"


class NoScripts:
    """Runs nothing."""

    async def run(self, call: RunScript) -> ScriptDone:
        return ScriptDone(variables={"seen": call.source})


def options(db: Path, *steps: dict[str, Any], name: str = "t", **more: Any) -> SuiteOptions:
    environment = more.pop("environment", None)
    (suite,) = parse(
        json.dumps({"name": name, "steps": list(steps), "environments": [environment] if environment else []})
    )
    return SuiteOptions(
        **{"suite": suite, "db": db, "environment": suite.environment, "source": "t.json", "pause_scale": 0.0, **more}
    )


def request(url: str, **members: Any) -> dict[str, Any]:
    return {"step_type": "request", "method": "GET", "url": url, **members}


def stored(db: Path, run_id: int | None) -> SuiteResult:
    assert run_id is not None
    with Reader.open(db) as reader:
        found = reader.suite(run_id)
    assert found is not None
    return found


@asynccontextmanager
async def answering(**answer: Any) -> AsyncIterator[tuple[str, list[web.Request]]]:
    """A server that gives every request the same answer, and keeps the requests."""
    seen: list[web.Request] = []

    async def handle(given: web.Request) -> web.Response:
        await given.read()
        seen.append(given)
        return web.Response(**answer)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", seen
    finally:
        await runner.cleanup()


def to_the_microsecond(result: SuiteResult) -> SuiteResult:
    """A database keeps times to the microsecond; a float has more digits."""

    def rounded(at: float | None) -> float | None:
        return None if at is None else from_iso(to_iso(at))

    return replace(
        result,
        started_at=rounded(result.started_at),
        ended_at=rounded(result.ended_at),
        steps=tuple(replace(step, started_at=rounded(step.started_at)) for step in result.steps),
    )


def holds(folder: Path, secret: str) -> list[str]:
    return [file.name for file in folder.iterdir() if secret.encode() in file.read_bytes()]


async def play(options_: SuiteOptions, told: list[Any] | None = None) -> SuiteResult:
    news: list[Any] = [] if told is None else told
    return await run_suite(options_, NoScripts(), news.append, Stop())


async def test_what_is_told_is_what_is_stored(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    told: list[Any] = []
    async with answering(text='{"id": 7}', content_type="application/json") as (url, seen):
        steps = [
            request(
                "{{base}}/a b",
                note="first",
                scripts=["s"],
                variables=[{"name": "id", "source": "response_json", "property": "id"}],
                assertions=[{"source": "response_json", "comparison": "equal", "property": "id", "value": "8"}],
            ),
            {"step_type": "pause", "duration": 3},
            request("{{base}}/{{id}}", method="POST", body="x"),
        ]
        result = await play(options(db, *steps, pinned={"base": url}, target=url), told)
    assert [one.path for one in seen] == ["/a b", "/7"]
    assert seen[0].headers["User-Agent"] == "runscope-radar/2.0"
    assert isinstance(told[0], Started)
    assert told[0].steps == 3
    assert [type(one) for one in told[1:]] == [Began, Ended] * 3
    assert tuple(one.result for one in told if isinstance(one, Ended)) == result.steps
    assert to_the_microsecond(stored(db, result.run_id)) == to_the_microsecond(result)
    assert (result.result, result.source, result.target) == ("fail", "t.json", url)
    with Reader.open(db) as reader:
        run = reader.run("last")
        assert run is not None
        assert (run.kind, run.name, run.target, run.exchange_count) == ("suite", "t", url, 2)
        assert run.ended_at is not None
        number = result.steps[0].exchange_id
        assert number is not None
        exchange = reader.exchange(number)
        assert exchange is not None
        assert (exchange.request.target, exchange.note) == ("/a%20b", "first")


async def test_no_secret_reaches_the_database_or_the_news(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    told: list[Any] = []
    async with answering(text=json.dumps({"echo": TOKEN, "password": "pass-of-a-user"})) as (url, seen):
        step = request(
            url + "/x?t={{auth}}",
            method="POST",
            headers={"Authorization": "{{auth}}", "Content-Type": "application/json"},
            body='{"password": "pass-of-a-user", "t": "{{auth}}"}',
            note="n",
            variables=[{"name": "echo", "source": "response_json", "property": "echo"}],
            assertions=[{"source": "response_json", "comparison": "equal", "property": "echo", "value": "{{auth}}"}],
        )
        given = {
            "pinned": {"auth": f"Bearer {TOKEN}"},
            "environment": {"name": "E", "initial_variables": {"apiKey": "key-of-the-test"}},
        }
        result = await play(options(db, step, **given), told)
    assert seen[0].headers["Authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in repr(result)
    assert TOKEN not in repr([one for one in told if isinstance(one, Ended)])
    assert dict(result.initial_variables)["auth"].startswith("Bearer sha256:")
    for secret in (TOKEN, "pass-of-a-user", "key-of-the-test"):
        assert holds(tmp_path, secret) == []


async def test_secrets_are_kept_when_asked(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    async with answering(text="{}") as (url, _):
        step = request(url, headers={"Authorization": "{{auth}}"})
        result = await play(options(db, step, pinned={"auth": f"Bearer {TOKEN}"}, keep_secrets=True))
    assert dict(result.initial_variables)["auth"] == f"Bearer {TOKEN}"


async def test_cookies_only_where_the_environment_keeps_them(tmp_path: Path) -> None:
    for keeps in (False, True):
        async with answering(headers={"Set-Cookie": "a=b; Path=/"}) as (url, seen):
            environment = {"name": "E", "preserve_cookies": keeps}
            await play(options(tmp_path / "a.db", request(url), request(url), environment=environment))
        assert ("Cookie" in seen[1].headers) == keeps


async def test_an_interrupted_run_keeps_what_it_had(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    stop = Stop()

    def tell(news: Any) -> None:
        if isinstance(news, Began) and news.number == "2":
            stop("SIGINT")

    async with answering(text="{}") as (url, seen):
        steps = [request(url), {"step_type": "pause", "duration": 180}, request(url)]
        result = await run_suite(options(db, *steps, pause_scale=1.0), NoScripts(), tell, stop)
    assert len(seen) == 1
    assert (result.result, result.canceled) == ("canceled", "interrupted (SIGINT)")
    assert [step.number for step in result.steps] == ["1"]
    assert to_the_microsecond(stored(db, result.run_id)) == to_the_microsecond(result)


async def test_an_interrupt_does_not_wait_for_an_answer(tmp_path: Path) -> None:
    stop = Stop()
    arrived = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        await reader.read()  # until the client goes
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    running = asyncio.create_task(
        run_suite(options(tmp_path / "a.db", request(f"http://127.0.0.1:{port}/")), NoScripts(), lambda _: None, stop)
    )
    await arrived.wait()
    stop("SIGTERM")
    result = await running
    server.close()
    assert (result.result, result.steps) == ("canceled", ())


async def test_nobody_answers(tmp_path: Path) -> None:
    result = await play(options(tmp_path / "a.db", request("http://127.0.0.1:1/")))
    assert result.result == "error"
    assert "nothing listens there" in result.steps[0].errors[0]
    assert result.steps[0].exchange_id is not None


async def test_scripts_run_in_the_sandbox() -> None:
    with ScriptEngine() as engine:
        sandbox = Sandbox(engine)
        done = await sandbox.run(
            RunScript("variables.set('b', variables.get('a') + 1); log('hi')", "initial", {"a": 1})
        )
        assert (done.variables, done.output, done.error, done.failed) == ({"b": 2}, "hi", None, None)
        response = {
            "status": 200,
            "reason": "OK",
            "headers": {},
            "body": "{}",
            "size_bytes": 2,
            "response_time_ms": 1,
        }
        done = await sandbox.run(
            RunScript("assert.equal(response.status, 201, 'created')", "after", {}, {}, response)
        )
        assert "created" in (done.failed or "")
        done = await sandbox.run(RunScript("nonsense(", "before", {}, {"url": "http://h/", "method": "GET"}))
        assert done.error
        done = await sandbox.run(
            RunScript(
                "request.headers['X'] = 'y'", "before", {}, {"url": "http://h/", "method": "GET", "headers": {}}
            )
        )
        assert done.request == {"headers": {"X": ["y"]}}


# --- looking at the target


async def test_a_good_target() -> None:
    async with await serve(token=TOKEN) as demo:
        found = await inspect_target(demo.url, f"Bearer {TOKEN}")
        assert (found.problem, found.users) == (None, 1)
        found = await inspect_target(demo.url, "Bearer wrong")
        assert "answers 401" in (found.problem or "")
        found = await inspect_target(demo.url + "/nowhere", f"Bearer {TOKEN}")
        assert "answers 404" in (found.problem or "")
        assert "base path" in (found.hint or "")


async def test_a_target_without_users_is_seeded() -> None:
    async with await serve(token=TOKEN, seeded=False) as demo:
        found = await inspect_target(demo.url, f"Bearer {TOKEN}")
        assert (found.users, found.blocks) == (0, False)
        assert "--seed-user" in (found.hint or "")
        assert await seed_user(demo.url, f"Bearer {TOKEN}") is None
        assert (await inspect_target(demo.url, f"Bearer {TOKEN}")).users == 1
        assert "answered 401" in (await seed_user(demo.url, None) or "")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"text": "<html>"}, "answers no JSON"),
        ({"text": "[]"}, "answers no SCIM list"),
        ({"text": '{"totalResults": "1"}'}, "answers no SCIM list"),
        ({"status": 500}, "answers 500"),
    ],
)
async def test_a_target_that_is_no_scim_server(answer: dict[str, Any], words: str) -> None:
    async with answering(**answer) as (url, _):
        found = await inspect_target(url, None)
    assert words in (found.problem or "")


async def test_a_target_that_does_not_answer() -> None:
    found = await inspect_target("http://127.0.0.1:1", None)
    assert found.blocks
    assert "nothing listens there" in (found.problem or "")
    assert "nothing listens there" in (await seed_user("http://127.0.0.1:1", None) or "")


# --- the bundled suites, on the embedded server


async def run_bundled(name: str, demo: Demo, db: Path, engine: ScriptEngine) -> SuiteResult:
    (suite,) = parse(bundled()[name].read_bytes())
    url = demo.url_1 if name.startswith("scim1") else demo.url
    given = SuiteOptions(
        suite=suite,
        db=db,
        environment=suite.environment,
        source=name,
        target=url,
        pinned={"SCIMBaseURL": url, "auth": f"Bearer {demo.token}"},
        timeout_s=5.0,
    )
    return await run_suite(given, Sandbox(engine), lambda _: None, Stop())


@pytest.mark.parametrize("name", sorted(bundled()))
async def test_a_bundled_suite_passes_and_leaves_nothing_behind(name: str, tmp_path: Path) -> None:
    with ScriptEngine() as engine:
        async with await serve(token=TOKEN) as demo:
            before = await inspect_target(demo.url, f"Bearer {TOKEN}")
            result = await run_bundled(name, demo, tmp_path / "a.db", engine)
            after = await inspect_target(demo.url, f"Bearer {TOKEN}")
    wrong = [(step.number, step.errors, step.assertions, step.scripts) for step in result.steps if not step.passed]
    assert wrong == []
    assert result.result == "pass"
    assert after.users == before.users
