"""The wiring of a replay, against a real server: what is stored, in which order, and how it ends."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import factories
import pytest
from aiohttp import web

from scimproxy.errors import UsageError
from scimproxy.exchange import Content, Exchange, Timings
from scimproxy.query import parse_query
from scimproxy.replay.replayer import AUTH, Edits
from scimproxy.replay_run import ReplayOptions, ReplayResult, Sent, Started, prepare, replay
from scimproxy.stopping import Stop
from scimproxy.store import Reader, Store
from scimproxy.store.suites import SuiteRows
from scimproxy.suite.results import SuiteResult

SECRET = "Bearer a-secret-token-1234"


class Server:
    """Answers anything with what came; `seen` are the requests, `gate` holds back those to `/slow`."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.gate = asyncio.Event()
        self.arrived = asyncio.Event()
        self.url = ""
        self.at_once = self.most = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        self.seen.append((request.method, request.path_qs, dict(request.headers), await request.read()))
        self.arrived.set()
        if request.path.endswith("/slow"):
            await self.gate.wait()
        await asyncio.sleep(0)
        self.at_once -= 1
        return web.json_response({"id": request.path.rpartition("/")[2]}, status=200)


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application(client_max_size=20_000_000)
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"{site.name}/v2"
    try:
        yield server
    finally:
        server.gate.set()
        await runner.cleanup()


def recorded(*targets: str, **more: Any) -> list[Exchange]:
    headers = {"Authorization": SECRET}
    return [
        factories.exchange(
            request=factories.request("GET", f"/scim/v2{one}", headers=headers),
            answer={"id": one.rpartition("/")[2]},
            **more,
        )
        for one in targets
    ]


def keep(db: Path, exchanges: list[Exchange], **run: Any) -> int:
    from scimproxy.redact import redact

    with Store.open(db) as store:
        begun = store.start_run(factories.run(**run))
        assert begun.id is not None
        for one in exchanges:
            store.add(replace(redact(one)[0], run_id=begun.id))
        return begun.id


async def again(told: list[Any] | None = None, **given: Any) -> ReplayResult:
    return await replay(ReplayOptions(**given), [].append if told is None else told.append, Stop())


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "a.db"


async def test_a_replay_is_a_run_of_its_own(db: Path) -> None:
    number = keep(db, recorded("/Users/1", "/Users/2"))
    with Reader.open(db) as reader:
        before = list(reader.all_whole(number))
    told: list[Any] = []
    async with serving() as server:
        result = await again(told, db=db, run_id=number, to=server.url, auth=SECRET)
        target = server.url
    assert [path for _, path, _, _ in server.seen] == ["/v2/Users/1", "/v2/Users/2"]
    assert {headers["Authorization"] for _, _, headers, _ in server.seen} == {SECRET}
    assert isinstance(told[0], Started) and told[0].total == 2 and told[0].notices == ()
    assert [(one.done, one.parent.id) for one in told if isinstance(one, Sent)] == [(1, 1), (2, 2)]
    assert not result.diff.breaking
    with Reader.open(db) as reader:
        assert list(reader.all_whole(number)) == before, "the recording is as it was"
        run = reader.run("last")
        assert run is not None and run.id == result.run.id
        assert (run.kind, run.source_run_id, run.target, run.exchange_count) == ("replay", number, target, 2)
        assert run.ended_at is not None
        kept = list(reader.all_whole(run.id or 0))
    assert [(one.parent_id, one.client) for one in kept] == [(1, "scimproxy"), (2, "scimproxy")]
    assert "a-secret-token" not in repr([list(one.request.headers) for one in kept])
    assert not any(b"a-secret-token" in file.read_bytes() for file in db.parent.iterdir())


async def test_without_secrets_it_says_so(db: Path) -> None:
    number = keep(db, recorded("/Users/1"))
    async with serving() as server:
        told: list[Any] = []
        await again(told, db=db, run_id=number, to=server.url, secret_headers=(("X-Api-Key", "k3y-k3y-k3y"),))
    assert told[0].notices == ("credentials were not kept (Authorization): pass them with --auth",)
    assert "Authorization" not in server.seen[0][2]
    assert server.seen[0][2]["X-Api-Key"] == "k3y-k3y-k3y"
    assert not any(b"k3y-k3y" in file.read_bytes() for file in db.parent.iterdir())


async def test_one_exchange_and_an_edited_request(db: Path) -> None:
    keep(db, recorded("/Users/1", "/Users/2"))
    async with serving() as server:
        options = ReplayOptions(db=db, exchange_id=2, to=server.url, auth=SECRET)
        given = prepare(options).request()
        assert given.headers.get("Authorization") == AUTH
        edited = replace(given, method="PUT", target="/v2/Users/9", content=Content.of(b"{}"))
        await again(db=db, exchange_id=2, to=server.url, auth=SECRET)
        result = await again(db=db, exchange_id=2, to=server.url, auth=SECRET, request=edited)
    assert [(method, path, body) for method, path, _, body in server.seen] == [
        ("GET", "/v2/Users/2", b""),
        ("PUT", "/v2/Users/9", b"{}"),
    ]
    assert server.seen[1][2]["Authorization"] == SECRET
    assert result.diff.pairs[0].differences, "another request"


async def test_secrets_that_were_given_are_nowhere_in_the_database(db: Path) -> None:
    headers = {"Authorization": "Bearer old-token-5678", "X-Sent": f"a {AUTH}"}
    keep(db, [factories.exchange(request=factories.request("GET", "/scim/v2/Users/1", headers=headers))])
    given = ("X-Session-Cookie", "a-secret-cookie-99"), ("Idempotency-Key", "a-secret-key-77")
    async with serving() as server:
        options = {"db": db, "exchange_id": 1, "to": server.url, "auth": SECRET, "secret_headers": given}
        edited = prepare(ReplayOptions(**options)).request()
        edited = replace(edited, headers=edited.headers.with_field("X-Mine", f"say {AUTH}"))
        await again(**options)
        await again(**options, request=edited)
    assert server.seen[0][2]["X-Sent"] == f"a {AUTH}", "what a client had sent stays as it was"
    assert server.seen[1][2]["X-Mine"] == f"say {SECRET}"
    with Reader.open(db) as reader:
        sent = [one.request.headers for number in (2, 3) for one in reader.all_whole(number)]
    assert len(sent) == 2 and "sha256:" in (sent[1].get("X-Mine") or "")
    kept = b"".join(path.read_bytes() for path in db.parent.iterdir())
    assert not [one for one in (b"a-secret-token", b"a-secret-cookie", b"a-secret-key") if one in kept]


async def test_a_part_of_a_run(db: Path) -> None:
    number = keep(db, recorded("/Users/1", "/Users/2", "/Groups/3", "/Users/4"))

    async def sent(**given: Any) -> list[str]:
        async with serving() as server:
            await again(db=db, run_id=number, to=server.url, **given)
        return [path.rpartition("/")[2] for _, path, _, _ in server.seen]

    assert await sent(first="2", last="3") == ["2", "3"]
    assert await sent(first="3") == ["3", "4"]
    assert await sent(only=parse_query("type:User"), last="2") == ["1", "2"]
    for wrong in ({"first": "9"}, {"first": "a"}, {"last": "1.2"}, {"only": parse_query("method:DELETE")}):
        with pytest.raises(UsageError):
            await sent(**wrong)


async def test_a_part_of_a_suites_run(db: Path) -> None:
    with Store.open(db) as store:
        run = store.start_run(factories.run(kind="suite"))
        assert run.id is not None
        rows = SuiteRows(store, run.id)
        rows.save(SuiteResult(name="s", result="pass"))
        for at, number in enumerate(["1", "2.1", "2[2].2", "3", None]):
            kept = store.add(replace(recorded(f"/Users/{at}")[0], run_id=run.id))
            if number:
                rows.add(factories.suite_step(number=number, exchange_id=kept))

    async def sent(**given: Any) -> list[str]:
        async with serving() as server:
            await again(db=db, run_id=run.id, to=server.url, **given)
        return [path.rpartition("/")[2] for _, path, _, _ in server.seen]

    assert await sent(first="2", last="2") == ["1", "2"]
    assert await sent(first="2[2].2") == ["2", "3"]
    with pytest.raises(UsageError, match="no number of a step"):
        await sent(first="two")


async def test_what_cannot_be_sent_is_told(db: Path) -> None:
    long = b'{"userName": "' + b"x" * 1_100_000 + b'"}'
    cut = Content(b"ab", 9, "")
    exchanges = [
        *recorded("/Users/1"),
        factories.exchange("PUT", "/scim/v2/Users/2", body=long),
        factories.exchange("PUT", "/scim/v2/Users/3", body=cut),
        factories.exchange("CONNECT", "h:1"),
        *recorded("/Users/5"),
    ]
    number = keep(db, exchanges)
    async with serving() as server:
        result = await again(db=db, run_id=number, to=server.url)
    assert [path for _, path, _, _ in server.seen] == ["/v2/Users/1", "/v2/Users/2", "/v2/Users/5"]
    assert server.seen[1][3] == long
    assert set(result.left_out) == {3, 4}
    with pytest.raises(UsageError, match="too long to be edited"):
        prepare(ReplayOptions(db=db, exchange_id=2)).request()
    assert (result.sent, result.total) == (3, 3)


async def test_many_at_a_time(db: Path) -> None:
    number = keep(db, recorded(*[f"/Users/{at}" for at in range(30)]))
    async with serving() as server:
        result = await again(db=db, run_id=number, to=server.url, concurrency=8)
    assert 1 < server.most <= 8
    assert (result.sent, result.diff.breaking) == (30, False)
    for wrong in (0, 65):
        with pytest.raises(UsageError):
            await again(db=db, run_id=number, to=server.url, concurrency=wrong)


async def test_recorded_gaps(db: Path) -> None:
    exchanges = [
        replace(one, started_at=factories.T0 + at)
        for at, one in enumerate(recorded("/Users/1", "/Users/2", "/Users/3"))
    ]
    number = keep(db, exchanges)
    async with serving() as server:
        await again(db=db, run_id=number, to=server.url, speed=100.0)
    with Reader.open(db) as reader:
        begun = [one.started_at for one in reader.all_whole(number + 1)]
    assert [later - earlier >= 0.0095 for earlier, later in itertools.pairwise(begun)] == [True, True]


@pytest.mark.parametrize("wishes", [1, 2])
async def test_stopped_in_the_middle(db: Path, wishes: int) -> None:
    number = keep(db, recorded("/Users/1", "/Users/slow", "/Users/3"))
    async with serving() as server:
        stop = Stop()
        task = asyncio.create_task(replay(ReplayOptions(db=db, run_id=number, to=server.url), lambda _: None, stop))
        while len(server.seen) < 2:
            server.arrived.clear()
            await server.arrived.wait()
        for _ in range(wishes):
            stop("SIGINT")
        if wishes == 1:
            server.gate.set()
        result = await asyncio.wait_for(task, 30)
    assert result.canceled == "interrupted (SIGINT)"
    with Reader.open(db) as reader:
        run = reader.run("last")
        assert run is not None and run.ended_at is not None
        kept = list(reader.all_whole(run.id or 0))
    assert [(one.parent_id, one.state) for one in kept] == [
        (1, "complete"),
        (2, "complete" if wishes == 1 else "aborted"),
    ]


async def test_nobody_answers(db: Path) -> None:
    number = keep(db, recorded("/Users/1"), target="http://127.0.0.1:9/scim/v2")
    result = await again(db=db, run_id=number)
    assert result.unanswered is not None and "nothing listens there" in result.unanswered
    assert result.diff.breaking


async def test_what_is_asked_for_must_make_sense(db: Path) -> None:
    number = keep(db, recorded("/Users/1"), target=None)
    request = factories.request()
    for wrong, said in (
        ({}, "a run or an exchange"),
        ({"run_id": number, "exchange_id": 1}, "a run or an exchange"),
        ({"run_id": 99}, "no run 99"),
        ({"exchange_id": 99}, "no exchange 99"),
        ({"run_id": number, "request": request}, "stands for one exchange"),
        ({"run_id": number}, "names no server"),
        ({"run_id": number, "to": "ftp://x"}, "not http"),
    ):
        with pytest.raises(UsageError, match=said):
            prepare(ReplayOptions(db=db, **wrong))  # type: ignore[arg-type]
    odd = keep(db, recorded("/Users/1"), target="odd://x")
    assert prepare(ReplayOptions(db=db, run_id=odd, to="http://127.0.0.1:1/v2")).request().target == "/v2/Users/1"


async def test_a_fault_of_ours_ends_the_run(db: Path) -> None:
    number = keep(db, recorded("/Users/1", "/Users/2"))
    async with serving() as server:
        told: list[object] = []

        def fail(news: object) -> None:
            told.append(news)
            if len(told) > 1:
                raise RuntimeError("the teller broke")

        with pytest.raises(RuntimeError, match="broke"):
            await replay(ReplayOptions(db=db, run_id=number, to=server.url), fail, Stop())
    with Reader.open(db) as reader:
        run = reader.run("last")
    assert run is not None and run.ended_at is not None


async def test_timing_is_compared_where_asked_for(db: Path) -> None:
    exchanges = [
        replace(one, timings=Timings(total=60_000.0 + at))
        for at, one in enumerate(recorded(*[f"/Users/{at}" for at in range(15)]))
    ]
    number = keep(db, exchanges)
    async with serving() as server:
        quiet = await again(db=db, run_id=number, to=server.url)
        result = await again(db=db, run_id=number, to=server.url, timing=True, edits=Edits(headers=(("X-A", "b"),)))
    assert (len(quiet.diff.timings), len(result.diff.timings)) == (0, 1)
    assert {headers.get("X-A") for _, _, headers, _ in server.seen} == {None, "b"}
    assert json.loads(result.bindings.to_json()) == []
