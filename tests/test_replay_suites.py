"""Bundled suites recorded on one server and replayed on another instance of it, through real sockets."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import factories
import pytest
import servers
from click.testing import CliRunner
from test_diff_suites import lines, load

from scimproxy.cli import cli
from scimproxy.client import Client
from scimproxy.demo import serve
from scimproxy.diff.runs import compare_runs
from scimproxy.exchange import Content, Headers, Request
from scimproxy.query import parse_query
from scimproxy.redact import redact
from scimproxy.replay_run import ReplayOptions, ReplayResult, replay
from scimproxy.stopping import Stop
from scimproxy.store import Store
from scimproxy.suite.library import bundled
from scimproxy.suite.model import Suite
from scimproxy.suite.runscope import parse
from scimproxy.suite.script import ScriptEngine
from scimproxy.suite_run import Sandbox, SuiteOptions, run_suite, seed_user

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


ENGINE = ScriptEngine()
"""One for all tests here: each script has a world of its own, and starting a worker takes as long as a suite."""


@pytest.fixture(scope="module", autouse=True)
def _engine_ends() -> Iterator[None]:
    yield
    ENGINE.close()


async def record(db: Path, what: str | Suite, url: str, token: str, **more: Any) -> int:
    """Run a suite, or a bundled one by its name, against a server; return the run's id."""
    suite = parse(bundled()[what].read_bytes())[0] if isinstance(what, str) else what
    options = SuiteOptions(
        suite=suite,
        db=db,
        environment=suite.environment,
        source=suite.name,
        target=url,
        pause_scale=0.0,
        pinned={"SCIMBaseURL": url, "auth": f"Bearer {token}"},
        secrets=frozenset({token}),
        **more,
    )
    result = await run_suite(options, Sandbox(ENGINE), lambda _: None, Stop())
    assert result.run_id is not None
    return result.run_id


async def again(db: Path, run_id: int, url: str, token: str, **given: Any) -> ReplayResult:
    options = ReplayOptions(db=db, run_id=run_id, to=url, auth=f"Bearer {token}", **given)
    found = await replay(options, lambda _: None, Stop())
    assert (found.sent, found.left_out, found.canceled) == (found.total, {}, None)
    return found


@pytest.mark.parametrize(("server", "name"), [*((one, "scim2-spec") for one in SERVERS), ("embedded", "lifecycle")])
async def test_on_a_fresh_instance_twice(server: str, name: str, tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    async with SERVERS[server]() as (url, token):
        run_id = await record(db, name, url, token)
    a = load(db, run_id)
    for concurrency in (1, 8):
        async with SERVERS[server]() as (url, token):
            found = await again(db, run_id, url, token, concurrency=concurrency)
        # scim2-server sorts by id, so which user stands on which page is chance.
        allowed = {"changed order response.body.resources"} if server == "scim2-server" else set()
        assert set(lines(found.diff)) <= allowed
        assert found.run.id is not None
        b = load(db, found.run.id)
        assert [it.exchange.parent_id for it in sorted(b, key=lambda it: it.exchange.parent_id or 0)] == [
            it.exchange.id for it in a
        ]
        users = [row for row in found.bindings.rows() if row.role == "User"]
        assert users and all(row.a != row.b for row in users)
        assert set(lines(compare_runs(a, b, timing=False))) <= allowed, "diff finds the same by itself"


async def test_numeric_ids_are_told_apart_from_other_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded with ids 1, 2, 3, ...; replayed where they are 4, 5, ..., then 2, 3, ...: others' ids; then UUIDs."""
    db = tmp_path / "a.db"
    ids = itertools.count(1)
    with monkeypatch.context() as patch:
        patch.setattr("scimproxy.demo.uuid.uuid4", lambda: next(ids))
        async with embedded() as (url, token):
            run_id = await record(db, "scim2-spec", url, token)
        for start in (4, 2):
            ids = itertools.count(start)
            async with embedded() as (url, token):
                found = await again(db, run_id, url, token, fresh_names=start == 2)
            assert lines(found.diff) == []
            users = {row.a: row.b for row in found.bindings.rows() if row.role == "User"}
            assert len(users) >= 2
            assert all(int(b) == int(a) + start - 1 for a, b in users.items())
    async with embedded() as (url, token):
        found = await again(db, run_id, url, token)
    assert lines(found.diff) == []
    assert all(len(row.b) == 36 for row in found.bindings.rows() if row.role == "User")


@pytest.mark.parametrize("server", ["embedded", "scimmy"])
async def test_fresh_names_on_the_server_that_has_them(server: str, tmp_path: Path) -> None:
    """Three of four steps of the recording, so that its users and groups stay; then again, in new names."""
    db = tmp_path / "a.db"
    async with SERVERS[server]() as (url, token):
        run_id = await record(db, "lifecycle", url, token)
        kept = {"last": "9", "run_id": run_id, "url": url, "token": token}  # up to the deletion
        first = await again(db, **kept)
        assert lines(first.diff) == []
        same = await again(db, **kept)
        assert "breaking status response.status" in lines(same.diff), "the name is taken: 409"
        assert same.diff.breaking
        for _ in range(2):
            fresh = await again(db, **kept, fresh_names=True)
            assert lines(fresh.diff) == []
            names = {row.a: row.b for row in fresh.bindings.rows() if row.role == "name"}
            assert any("@" in one for one in names) and all(a != b for a, b in names.items())


async def test_what_was_not_made_is_not_touched(tmp_path: Path) -> None:
    """The create is refused as a conflict; then nothing may reach the user that has the recorded id."""
    db = tmp_path / "a.db"
    async with embedded() as (url, token):
        run_id = await record(db, "lifecycle", url, token)
        first = await again(db, run_id, url, token, last="9")
        assert first.run.id is not None
        made = next(row.b for row in first.bindings.rows() if row.role == "User")
        # Of the replay, whose user is still there; no list tells that this is whom the name belongs to.
        second = await again(db, first.run.id, url, token, only=parse_query("-op:list"))
        sent = load(db, second.run.id or 0)
        found = await again(db, first.run.id, url, token)
    assert [it.exchange.request.method for it in sent if made in it.exchange.request.target] == []
    put = next(it for it in sent if it.exchange.request.method == "PUT")
    assert put.exchange.response is not None and put.exchange.response.status_code == 404
    assert len(put.operation.resource_id or "") == 36, "an id of the same form"
    assert found.bindings.b_of("User", made) == made, "found by its name, it is"


DIFFERENT = {
    ("scimmy", "embedded"): {
        "additive added response.body.meta.version",
        "additive added response.body.resources.meta.version",
        "additive added response.headers.location",  # of everything (scim2-server), or of a 201
        "breaking form response.body.meta.location",  # SCIMMY's are relative
        "breaking form response.body.resources.meta.location",
        "changed missing response.headers.etag",
        "changed missing response.headers.x-powered-by",
        "changed value response.body.detail",  # the words for 404
        "changed value response.body.itemsperpage",  # the page size asked for, or what is on the page
    },
    ("scim2-server", "scimmy"): {
        "additive added response.body",
        "additive added response.headers.etag",  # Express's, of the bytes
        "additive added response.headers.x-powered-by",
        "breaking form response.body.meta.location",  # SCIMMY's are relative
        "breaking form response.body.resources.meta.location",
        "breaking missing response.body.meta.version",
        "breaking missing response.body.resources.meta.version",
        "breaking missing response.headers.content-type",  # of a 204
        "breaking missing response.headers.location",  # of a 201
        "breaking status response.status",  # PATCH: 200 or 204
        "changed missing response.headers.content-location",
        "changed missing response.headers.location",
        "changed value response.body.detail",  # the words for 404
        "changed value response.body.itemsperpage",  # the page size asked for, or what is on the page
        "changed value response.http_version",  # scim2-server speaks 1.0
    },
    ("embedded", "scim2-server"): {
        "additive added response.headers.content-location",
        "additive added response.headers.content-type",  # of a 204
        "additive added response.headers.location",  # of everything (scim2-server), or of a 201
        "breaking missing response.body",
        "breaking status response.status",  # PATCH: 200 or 204
        "changed value response.body.detail",  # the words for 404
        "changed value response.http_version",  # scim2-server speaks 1.0
    },
}
"""What truly differs between the servers in the lifecycle of a user, and nothing beside it."""


@pytest.mark.parametrize(("one", "other"), list(DIFFERENT))
async def test_on_a_different_server(one: str, other: str, tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    async with SERVERS[one]() as (url, token):
        run_id = await record(db, "lifecycle", url, token)
    async with SERVERS[other]() as (url, token):
        found = await again(db, run_id, url, token)
    assert set(lines(found.diff)) == DIFFERENT[one, other]


async def test_recorded_traffic_of_a_client(tmp_path: Path) -> None:
    """What an Okta-like client sent to SCIMMY through the recorder (recordings/), sent to a fresh one."""
    db = tmp_path / "a.db"
    done = CliRunner().invoke(
        cli, ["import", "--db", str(db), str(ROOT / "recordings" / "okta-lifecycle-scimmy.har")]
    )
    assert done.exit_code == 0, done.output
    async with SERVERS["scimmy"]() as (url, token):
        found = await again(db, 1, url, token, concurrency=8)
    assert (found.sent, lines(found.diff)) == (38, [])


async def test_scim_1(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    async with await serve() as demo:
        run_id = await record(db, "scim1-spec", demo.url_1, demo.token)
        fresh = await again(db, run_id, demo.url_1, demo.token, fresh_names=True)
    async with await serve() as demo:
        found = await again(db, run_id, demo.url_1, demo.token, concurrency=8)
    assert (lines(found.diff), lines(fresh.diff)) == ([], [])


async def test_groups_in_groups_and_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numeric ids of users and groups cross each other, groups are members, and If-Match tells what was read."""
    db, ids = tmp_path / "a.db", itertools.count(1)
    monkeypatch.setattr("scimproxy.demo.uuid.uuid4", lambda: next(ids))
    schema = "urn:ietf:params:scim:schemas:core:2.0"
    steps: list[tuple[str, str, dict[str, Any] | None]] = [
        ("POST", "/Users", {"schemas": [f"{schema}:User"], "userName": "ann"}),
        ("POST", "/Groups", {"schemas": [f"{schema}:Group"], "displayName": "inner", "members": [{"value": "USER"}]}),
        ("POST", "/Groups", {"schemas": [f"{schema}:Group"], "displayName": "outer", "members": [{"value": "GROUP", "type": "Group"}, {"value": "USER"}]}),
        ("GET", "/Groups/OUTER", None),
        ("GET", "/Users/USER", None),
        ("PUT", "/Users/USER", {"schemas": [f"{schema}:User"], "userName": "ann", "title": "Boss"}),
        ("PUT", "/Users/USER", {"schemas": [f"{schema}:User"], "userName": "ann", "title": "stale"}),
        ("GET", "/Groups?filter=members.value%20eq%20%22GROUP%22", None),
        ("PATCH", "/Groups/OUTER", {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "remove", "path": 'members[value eq "GROUP"]'}]}),
        ("GET", "/Groups/OUTER", None),
        ("DELETE", "/Users/USER", None),
    ]  # fmt: skip
    with Store.open(db) as store:
        run = store.start_run(factories.run())
        async with embedded() as (url, token), Client() as client:
            origin, tag = url.removesuffix("/scim/v2"), ""
            made: list[str] = []
            for method, place, body in steps:
                words = dict(zip(("USER", "GROUP", "OUTER"), made, strict=False))
                said = f"{place}\n{json.dumps(body)}"
                for word, number in words.items():
                    said = said.replace(word, number)
                path, text = said.split("\n")
                headers = [("Authorization", f"Bearer {token}"), ("Content-Type", "application/scim+json")]
                if method == "PUT":
                    headers.append(("If-Match", tag))
                content = Content.of(b"" if body is None else text.encode())
                done = await client.send(
                    Request(method, f"/scim/v2{path}", headers=Headers(headers), content=content), origin
                )
                assert done.response is not None
                if method == "POST":
                    made.append(json.loads(done.response.content.data)["id"])
                elif path.startswith("/Users/"):
                    tag = tag or done.response.headers.get("ETag") or ""
                store.add(replace(redact(done)[0], run_id=run.id))
    statuses = [it.exchange.response.status_code for it in load(db, 1) if it.exchange.response]
    assert statuses == [201, 201, 201, 200, 200, 200, 412, 200, 200, 200, 204]
    for start in (2, 5):
        ids = itertools.count(start)
        async with embedded() as (url, token):
            found = await again(db, 1, url, token, fresh_names=start == 5)
        assert lines(found.diff) == []
        table = {(row.role, row.a): row.b for row in found.bindings.rows()}
        assert table["Group", made[1]] == str(int(made[1]) + start - 1)
        assert ("User", made[1]) not in table


OKTA = ROOT.parent / "shared" / "okta"


@pytest.mark.skipif(not OKTA.is_dir(), reason="Okta's suites are not in this repository")
@pytest.mark.parametrize("server", ["scimmy", "scim2-server"])
async def test_oktas_suite_reads_the_first_user_whoever_that_is(server: str, tmp_path: Path) -> None:
    """Another user is there on the fresh instance: what is read is that one, and its names are all that differs."""
    db = tmp_path / "a.db"
    (suite,) = parse((OKTA / "Okta-SCIM-20-SPEC-Test.json").read_bytes())
    script = (OKTA / "Initial_Script_Spec.txt").read_text("utf-8-sig")
    async with SERVERS[server]() as (url, token):
        await seed_user(url, f"Bearer {token}")
        run_id = await record(db, suite, url, token, initial_scripts=(script,))
    async with SERVERS[server]() as (url, token):
        await seed_user(url, f"Bearer {token}")
        found = await again(db, run_id, url, token, fresh_names=True)
    read = {"response.body.username", "response.body.emails.value"}
    listed = {"response.body.resources.username", "response.body.resources.emails.value"}
    assert set(lines(found.diff)) == {f"changed value {one}" for one in read | listed}
    assert len([row for row in found.bindings.rows() if row.role == "User"]) == 2
