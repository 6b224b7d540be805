"""Bundled suites recorded on one server and replayed on another instance of it, through real sockets."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import servers
from test_diff_suites import lines, load

from scimproxy.bind import Bindings
from scimproxy.demo import serve
from scimproxy.replay_run import ReplayOptions, ReplayResult, replay
from scimproxy.run_diff import compare_runs
from scimproxy.stopping import Stop
from scimproxy.suite.library import bundled
from scimproxy.suite.runscope import parse
from scimproxy.suite.script import ScriptEngine
from scimproxy.suite_run import Sandbox, SuiteOptions, run_suite

ROOT = Path(__file__).resolve().parent.parent

type Server = tuple[str, str]
"""Base URL and token."""


@contextlib.asynccontextmanager
async def embedded() -> AsyncIterator[Server]:
    async with await serve() as demo:
        yield demo.url, demo.token


@contextlib.asynccontextmanager
async def scim2_server() -> AsyncIterator[Server]:
    pytest.importorskip("scim2_server", reason="scim2-server needs Python 3.13 beside mitmproxy")
    with contextlib.contextmanager(servers.scim2_server)() as peer:
        yield peer.url, peer.token


@contextlib.asynccontextmanager
async def scimmy() -> AsyncIterator[Server]:
    folder = ROOT / ".peers" / "express5"
    if not (folder / "node_modules").is_dir():
        pytest.skip("express5 is not installed: ./scripts/test installs it with npm")
    with contextlib.contextmanager(servers.scimmy)(folder) as peer:
        yield peer.url, peer.token


SERVERS: dict[str, Callable[[], AbstractAsyncContextManager[Server]]] = {
    "embedded": embedded,
    "scim2-server": scim2_server,
    "scimmy": scimmy,
}


async def record(db: Path, name: str, url: str, token: str) -> int:
    """Run a bundled suite against a server; return the run's id."""
    (suite,) = parse(bundled()[name].read_bytes())
    options = SuiteOptions(
        suite=suite,
        db=db,
        environment=suite.environment,
        source=name,
        target=url,
        pause_scale=0.0,
        pinned={"SCIMBaseURL": url, "auth": f"Bearer {token}"},
        secrets=frozenset({token}),
    )
    with ScriptEngine() as engine:
        result = await run_suite(options, Sandbox(engine), lambda _: None, Stop())
    assert result.run_id is not None
    return result.run_id


async def again(db: Path, run_id: int, url: str, token: str, **given: Any) -> ReplayResult:
    options = ReplayOptions(db=db, run_id=run_id, to=url, auth=f"Bearer {token}", **given)
    found = await replay(options, lambda _: None, Stop())
    assert (found.sent, found.left_out, found.canceled) == (found.total, {}, None)
    return found


@pytest.mark.parametrize("server", list(SERVERS))
@pytest.mark.parametrize(("name", "concurrency"), [("scim2-spec", 1), ("lifecycle", 1), ("scim2-spec", 8)])
async def test_on_a_fresh_instance_twice(server: str, name: str, concurrency: int, tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    async with SERVERS[server]() as (url, token):
        run_id = await record(db, name, url, token)
    a = load(db, run_id)
    for _ in range(2):
        async with SERVERS[server]() as (url, token):
            found = await again(db, run_id, url, token, concurrency=concurrency)
        assert lines(found.diff) == []
        assert found.run.id is not None
        b = load(db, found.run.id)
        assert [it.exchange.parent_id for it in sorted(b, key=lambda it: it.exchange.parent_id or 0)] == [
            it.exchange.id for it in a
        ]
        users = [row for row in found.bindings.rows() if row.role == "User"]
        assert users and all(row.a != row.b for row in users)
        assert lines(compare_runs(a, b, timing=False, bindings=Bindings())) == [], "diff finds the same by itself"
