"""Shareable runs: one link, one page, and the same 404 for everything else; private again is gone at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import factories
import pytest
from click.testing import CliRunner
from conformance.tunnels import standin_agent
from recording import command, environment
from standins.edge import TOKEN as EDGE_TOKEN

from scimproxy.cli import cli
from scimproxy.errors import StoreError
from scimproxy.share_site import Site
from scimproxy.store import Reader, Store
from scimproxy.store.prune import prune
from scimproxy.store.schema import SCHEMA_VERSION
from scimproxy.store.shares import clear_dead, find_share, share_run, shares, unshare_run

TOKEN = "t" * 43
T0 = factories.T0


@pytest.fixture
def db(tmp_path: Path) -> Path:
    path = tmp_path / "a.db"
    with Store.open(path) as store:
        first = store.start_run(factories.run(name="mine"))
        store.add(
            factories.exchange("POST", "/scim/v2/Users", body={"userName": "bjensen@corp.test"}, answer={"id": "1"})
        )
        assert first.id is not None
        store.finish_run(first.id, ended_at=T0 + 5)
        store.start_run(factories.run(name="other"))
    return path


@contextlib.asynccontextmanager
async def listening(db: Path, now: float = T0) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    site = Site(db, clock=lambda: now)
    port = await site.start()
    try:
        async with aiohttp.ClientSession() as session:
            yield session, f"http://127.0.0.1:{port}"
    finally:
        await site.close()


def test_shares_are_kept_as_hashes(db: Path) -> None:
    assert shares(db) == []
    share_run(db, 1, TOKEN, keep_names=False, now=T0, expires_at=T0 + 60)
    (one,) = shares(db)
    assert (one.run_id, one.keep_names, one.created_at, one.expires_at) == (1, False, T0, T0 + 60)
    assert TOKEN.encode() not in b"".join(path.read_bytes() for path in db.parent.iterdir())
    assert find_share(db, TOKEN, T0) == one
    assert find_share(db, TOKEN, T0 + 60) is None
    assert find_share(db, "x", T0) is None
    share_run(db, 1, "u" * 43, keep_names=True, now=T0, expires_at=None)
    assert find_share(db, TOKEN, T0) is None
    assert find_share(db, "u" * 43, T0 + 1e9) is not None
    assert (unshare_run(db, 1), unshare_run(db, 1)) == (True, False)
    with pytest.raises(StoreError, match="there is no run 9"):
        share_run(db, 9, TOKEN, keep_names=False, now=T0, expires_at=None)


def test_a_pruned_run_is_shared_no_more(db: Path) -> None:
    share_run(db, 1, TOKEN, keep_names=False, now=T0, expires_at=None)
    prune(db, now=T0 + 100, keep_runs=1)
    assert shares(db) == []


@pytest.mark.parametrize("schema", [3, 4])
def test_a_database_of_an_earlier_schema_opens(tmp_path: Path, schema: int) -> None:
    path = tmp_path / "s.db"
    shutil.copy(Path(__file__).parent / "data" / f"schema-{schema}.db", path)
    with Reader.open(path) as reader:
        assert [run.name for run in reader.runs()] == ["sample", "sample suite"]
        suite = reader.suite(2)
        assert suite is not None
        assert (suite.command, suite.folder) == ((), None)
    assert shares(path) == []
    share_run(path, 1, TOKEN, keep_names=False, now=T0, expires_at=None)
    assert len(shares(path)) == 1
    with contextlib.closing(sqlite3.connect(path)) as conn:
        assert conn.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION


def test_a_link_whose_listener_is_gone_opens_nothing_and_is_cleared(db: Path) -> None:
    share_run(db, 1, TOKEN, keep_names=False, now=T0, expires_at=None)
    share_run(db, 2, "u" * 43, keep_names=False, now=T0, expires_at=None)
    with subprocess.Popen([sys.executable, "-c", "pass"]) as dead:
        gone = f"{dead.pid}:1"
    with contextlib.closing(sqlite3.connect(db)) as conn, conn:
        conn.execute("UPDATE shares SET process = ? WHERE run_id = 1", (gone,))
    assert find_share(db, TOKEN, T0) is None
    assert [one.run_id for one in shares(db)] == [2]
    assert (clear_dead(db), clear_dead(db)) == (1, 0)
    assert [one.run_id for one in shares(db)] == [2]


async def test_the_link_shows_the_run_and_everything_else_nothing(db: Path) -> None:
    await asyncio.to_thread(share_run, db, 1, TOKEN, keep_names=False, now=T0, expires_at=T0 + 60)
    async with listening(db) as (session, base):
        for _ in range(2):  # made, then kept
            async with session.get(f"{base}/s/{TOKEN}") as answer:
                page = await answer.text()
                assert answer.status == 200
                policy = answer.headers["Content-Security-Policy"]
        assert "user1@example.com" in page
        assert "bjensen" not in page
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        async with session.get(f"{base}/nothing") as answer:
            nothing = (answer.status, await answer.read(), _steady(answer))
        asked = [("GET", path) for path in ("/", "/s/", f"/s/{'x' * 43}", f"/s/{TOKEN}/", f"/s/{TOKEN}?a=1", f"/S/{TOKEN}",
                                            "/api/v1/runs", "/s/1", "/static/look.css")]  # fmt: skip
        for method, path in [
            *asked,
            *((name, f"/s/{TOKEN}") for name in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE")),
        ]:
            async with session.request(method, base + path) as answer:
                assert (answer.status, await answer.read(), _steady(answer)) == nothing, (method, path)
        async with session.head(f"{base}/s/{TOKEN}") as answer:
            assert answer.status == 200
        await asyncio.to_thread(unshare_run, db, 1)
        async with session.get(f"{base}/s/{TOKEN}") as answer:
            assert (answer.status, await answer.read(), _steady(answer)) == nothing


async def test_a_listener_shows_its_own_run_only(db: Path) -> None:
    await asyncio.to_thread(share_run, db, 1, TOKEN, keep_names=False, now=T0, expires_at=None)
    for run_id, status in ((1, 200), (2, 404)):
        site = Site(db, run_id, clock=lambda: T0)
        port = await site.start()
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/s/{TOKEN}") as answer:
            assert answer.status == status
        await site.close()


async def test_a_damaged_table_is_nothing_too(db: Path) -> None:
    await asyncio.to_thread(share_run, db, 1, TOKEN, keep_names=False, now=T0, expires_at=None)
    with contextlib.closing(sqlite3.connect(db)) as conn:
        ((page,),) = conn.execute("SELECT rootpage FROM sqlite_master WHERE name = 'shares'")
        ((size,),) = conn.execute("PRAGMA page_size")
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with db.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    async with listening(db) as (session, base), session.get(f"{base}/s/{TOKEN}") as answer:
        assert (answer.status, await answer.text()) == (404, "There is nothing here.\n")


async def test_what_is_no_http_is_not_logged(db: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with listening(db) as (_, base):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(base.rpartition(":")[2]))
        writer.write(f"GET /s/{TOKEN} no http\r\n\r\n".encode())
        assert (await reader.read()).startswith(b"HTTP/1.0 400")
        writer.close()
    assert not caplog.records


def _steady(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name != "Date"}


async def test_a_link_ends_and_names_may_be_kept(db: Path) -> None:
    await asyncio.to_thread(share_run, db, 1, TOKEN, keep_names=True, now=T0, expires_at=T0 + 60)
    async with listening(db) as (session, base), session.get(f"{base}/s/{TOKEN}") as answer:
        assert "bjensen@corp.test" in await answer.text()
    async with listening(db, T0 + 61) as (session, base):
        async with session.get(f"{base}/s/{TOKEN}") as answer:
            assert answer.status == 404
        db.rename(db.with_suffix(".gone"))
        async with session.get(f"{base}/s/{TOKEN}") as answer:
            assert answer.status == 404


def test_the_command_shares_for_as_long_as_it_runs(db: Path) -> None:
    with subprocess.Popen(
        command("share", "mine", "--db", db, "--for", "1h", "--json"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/s/[\w-]{43}", url)
        listed = CliRunner().invoke(cli, ["share", "--list", "--db", str(db)])
        assert "pseudonyms" in listed.stdout
        assert json.loads(CliRunner().invoke(cli, ["share", "--list", "--json", "--db", str(db)]).stdout)["run"] == 1
        assert _status(url) == 200
        assert "is private." in CliRunner().invoke(cli, ["unshare", "mine", "--db", str(db)]).stderr
        assert _status(url) == 404
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
        assert process.returncode == 0, told
    assert "Ctrl-C makes it private" in told
    assert "private again" in told
    assert url.rpartition("/")[2] not in told


def test_a_tunnel_makes_the_link_public(db: Path, tmp_path: Path) -> None:
    script = tmp_path / "tunnel.sh"
    script.write_text("#!/bin/sh\necho https://abc.example.test\nexec sleep 60\n")
    script.chmod(0o755)
    with subprocess.Popen(
        command("share", "mine", "--db", db, "--tunnel", f"command:{script} {{port}}", "--tunnel-url-pattern", r"https://\S+"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        links = [process.stdout.readline().strip() for _ in range(2)]
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
        assert process.returncode == 0, told
    assert links[1].startswith("https://abc.example.test/s/")
    assert links[0].rpartition("/")[2] == links[1].rpartition("/")[2]
    assert shares(db) == []


def test_ngrok_makes_the_link_public_and_nothing_else(
    db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NGROK_AUTHTOKEN", EDGE_TOKEN)
    agent = standin_agent(tmp_path)
    with subprocess.Popen(
        command("share", "mine", "--db", db, "--tunnel", "ngrok", "--ngrok-path", agent),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        here, public = (process.stdout.readline().strip() for _ in range(2))
        base, _, token = public.partition("/s/")
        assert base != here.partition("/s/")[0]
        assert _status(public) == 200
        for path in ("/", "/runs", "/api/v1/runs", "/static/page.js", f"/s/{token[::-1]}"):
            assert _status(base + path) == 404
        unshare_run(db, 1)
        assert _status(public) == 404  # private again, through the tunnel too
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
        assert process.returncode == 0, told


def test_what_a_user_gets_wrong(db: Path) -> None:
    def said(*words: str) -> str:
        found = CliRunner().invoke(cli, [*words, "--db", str(db)])
        assert found.exit_code in {2, 3}, found.output
        return found.stderr

    assert "there is no run" in said("share", "nope")
    assert "is for `scimproxy up`" in said("share", "mine", "--tunnel", "ngrok", "--idle-close", "5m")
    assert "nonsense" in said("share", "mine", "--tunnel", "nonsense")
    assert "private; it was before" in CliRunner().invoke(cli, ["unshare", "mine", "--db", str(db)]).stderr
    assert "No run is shareable" in CliRunner().invoke(cli, ["share", "--list", "--db", str(db)]).stderr


def _status(url: str) -> int:
    async def ask() -> int:
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return answer.status

    return asyncio.run(ask())
