"""The mock by the verdicts of suites: those of its own recording, and with --stateful those it never saw.

The servers are real: ours, scim2-server and SCIMMY. The figures are computed, and printed by `pytest -s`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from servers import Peer

from scimproxy.app import Event, Ready, RecordOptions, Stop, record
from scimproxy.bodies import seen
from scimproxy.client import Client
from scimproxy.demo import serve
from scimproxy.exchange import Content, Exchange, Headers, Request
from scimproxy.mock.inferring import infer
from scimproxy.mock.intervening import Mock
from scimproxy.mock.recorded import Responder
from scimproxy.mock.stateful import Source, Stateful
from scimproxy.proxy.engine import ANYWHERE, EngineOptions
from scimproxy.redact import redact
from scimproxy.scim.schemas import GROUP, USER
from scimproxy.store import Reader
from scimproxy.suite.library import bundled
from scimproxy.suite.results import SuiteResult
from scimproxy.suite.runscope import parse
from scimproxy.suite.script import ScriptEngine
from scimproxy.suite_run import Sandbox, SuiteOptions, run_suite

type Verdicts = dict[tuple[Any, ...], str]


async def play(name: str, url: str, token: str, db: Path) -> SuiteResult:
    (suite,) = parse(bundled()[name].read_bytes())
    options = SuiteOptions(
        suite=suite,
        db=db,
        environment=suite.environment,
        source="test",
        target=url,
        pinned={"SCIMBaseURL": url, "auth": f"Bearer {token}"},
        secrets=frozenset({token}),
        pause_scale=0.0,
    )
    with ScriptEngine() as engine:
        return await run_suite(options, Sandbox(engine), lambda _: None, Stop())


def verdicts(result: SuiteResult) -> Verdicts:
    return {
        (step.number, step.note, number): one.result
        for step in result.executed
        for number, one in enumerate(step.assertions)
    }


def agreement(real: Verdicts, mocked: Verdicts) -> float:
    """The share of all verdicts, of either, that both give."""
    return sum(mocked.get(key) == verdict for key, verdict in real.items()) / len({*real, *mocked})


def recorded(db: Path, run_id: int | None) -> list[Exchange]:
    assert run_id is not None
    with Reader.open(db) as reader:
        return list(reader.all_whole(run_id, with_connections=False))


@asynccontextmanager
async def serving(mock: Mock, base: str, db: Path) -> AsyncIterator[str]:
    """Serve a mock through the real engine, recorded; gives its URL."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    loop, stop = asyncio.get_running_loop(), Stop()

    def tell(event: Event) -> None:
        if isinstance(event, Ready):
            loop.call_soon_threadsafe(ready.set_result, event.url)

    engine = EngineOptions(target=ANYWHERE, public_path=base, intervener=mock)
    running = asyncio.create_task(record(RecordOptions(engine=engine, db=db, kind="mock"), tell, stop))
    try:
        await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
        yield await ready
    finally:
        stop("the test is over")
        await running


def base_of(url: str) -> str:
    return f"/{url.split('/', 3)[3]}"


async def own_suite(url: str, token: str, folder: Path) -> tuple[Verdicts, Verdicts]:
    """The spec suite on a server, and on the mock of that run."""
    real = await play("scim2-spec", url, token, folder / "a.db")
    mock = Mock(Responder(recorded(folder / "a.db", real.run_id)))
    async with serving(mock, base_of(url), folder / "mock.db") as mocked:
        return verdicts(real), verdicts(await play("scim2-spec", mocked, token, folder / "a.db"))


async def test_our_server_and_its_mock(tmp_path: Path) -> None:
    async with await serve() as demo:
        real, mocked = await own_suite(demo.url, demo.token, tmp_path)
    assert mocked == real and len(real) == 153


async def test_scimmy_and_its_mock(scimmy: Peer, tmp_path: Path) -> None:
    real, mocked = await own_suite(scimmy.url, scimmy.token, tmp_path)
    assert mocked == real and "fail" in real.values(), "what it gets wrong, its mock gets wrong"


async def test_scim2_server_and_its_mock(scim2_server: Peer, tmp_path: Path) -> None:
    real, mocked = await own_suite(scim2_server.url, scim2_server.token, tmp_path)
    assert mocked == real and len(real) == 153


# --- stateful: suites that were never recorded


async def look_around(url: str, token: str) -> list[Exchange]:
    """What a curious client asks: discovery, also with a method it does not have; a role that no schema names; a
    part of a group."""
    origin, base = url[: url.index("/", 8)], base_of(url)
    fields = Headers([("Host", origin.partition("//")[2]), ("Authorization", f"Bearer {token}")])
    user = {"schemas": [USER.id], "userName": "looker", "roles": [{"value": "x", "type": "odd"}]}
    found: list[Exchange] = []
    async with Client(timeout_s=30) as client:

        async def ask(method: str, path: str, body: object = None) -> Any:
            headers = fields if body is None else fields.with_added("Content-Type", "application/scim+json")
            content = Content.of(b"" if body is None else json.dumps(body).encode())
            made = await client.send(Request(method, f"{base}{path}", headers=headers, content=content), origin)
            found.append(redact(made)[0])
            assert made.response is not None
            with contextlib.suppress(ValueError):
                return json.loads(made.response.content.data)

        for path in ("/ServiceProviderConfig", "/ResourceTypes", "/Schemas"):
            await ask("GET", path)
        await ask("POST", "/Schemas", {})
        group = (await ask("POST", "/Groups", {"schemas": [GROUP.id], "displayName": "Looked at"}))["id"]
        await ask("GET", f"/Groups/{group}?attributes=displayName")
        await ask("DELETE", f"/Groups/{group}")
        if "id" in (made := await ask("POST", "/Users", user)):
            await ask("DELETE", f"/Users/{made['id']}")
    return found


def judged(url: str, token: str) -> Verdicts:
    """What scim2-tester says of a server."""
    tester = pytest.importorskip("scim2_tester", reason="scim2-tester is not installed (dependency group peers)")
    client_module = pytest.importorskip(
        "scim2_client.engines.httpx2", reason="scim2-client has no httpx2 engine here"
    )
    httpx2 = pytest.importorskip("httpx2", reason="httpx2 is not installed (dependency group peers)")
    nth: Counter[tuple[Any, ...]] = Counter()
    found: Verdicts = {}
    with httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}) as http:
        for one in tester.check_server(client_module.SyncSCIMClient(http)):
            key = (one.title, one.resource_type)
            nth[key] += 1
            found[(*key, nth[key])] = one.status.name
    return found


async def figures(url: str, token: str, folder: Path) -> dict[str, float]:
    """How far a stateful mock agrees with its server, by suite; recorded were a lifecycle and a look around."""
    db = folder / "a.db"
    exchanges = recorded(db, (await play("lifecycle", url, token, db)).run_id)
    exchanges += await look_around(url, token)
    real = {
        "scim2-spec": verdicts(await play("scim2-spec", url, token, db)),
        "scim2-tester": await asyncio.to_thread(judged, url, token),
    }
    responder = Responder(exchanges)
    source = Source(time.time, random.Random(7).randrange)
    stateful = Stateful(infer([seen(one) for one in exchanges]), responder, source)
    async with serving(Mock(responder, stateful=stateful), base_of(url), folder / "mock.db") as mocked:
        found = {
            "scim2-spec": verdicts(await play("scim2-spec", mocked, token, db)),
            "scim2-tester": await asyncio.to_thread(judged, mocked, token),
        }
    table = {suite: agreement(real[suite], found[suite]) for suite in real}
    for suite, share in table.items():
        counts = [dict(Counter(one[suite].values())) for one in (real, found)]
        if share < 0.9:
            for key in sorted({*real[suite], *found[suite]}, key=str):
                if real[suite].get(key) != found[suite].get(key):
                    print(key, real[suite].get(key), found[suite].get(key))  # noqa: T201
        print(f"{folder.name:40} {suite:14} {share:7.1%}  server {counts[0]}  mock {counts[1]}")  # noqa: T201
    return table


@pytest.mark.slow
async def test_stateful_like_our_server(tmp_path: Path) -> None:
    async with await serve() as demo:
        assert await figures(demo.url, demo.token, tmp_path) == {"scim2-spec": 1.0, "scim2-tester": 1.0}


@pytest.mark.slow
async def test_stateful_like_scimmy(scimmy: Peer, tmp_path: Path) -> None:
    assert min((await figures(scimmy.url, scimmy.token, tmp_path)).values()) >= 0.9


@pytest.mark.slow
async def test_stateful_like_scim2_server(scim2_server: Peer, tmp_path: Path) -> None:
    assert min((await figures(scim2_server.url, scim2_server.token, tmp_path)).values()) >= 0.9
