"""The store in a process of its own: what goes in comes out, it ends with its recorder, and its death is survived."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import factories
import pytest

from scimproxy.errors import StoreCorrupt, StoreError
from scimproxy.exchange import Connection, Exchange, TunnelEvent
from scimproxy.store import Reader, StoreApart
from scimproxy.store import apart as apart_module

pytestmark = pytest.mark.skipif(os.name != "posix", reason="descriptors are handed to a child only on POSIX systems")


def bare(one: Exchange) -> Exchange:
    return replace(one, id=None, seq=None, run_id=None)


async def record(store: StoreApart, exchange: Exchange) -> None:
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    store.submit_then(
        exchange, lambda problem: done.set_result(None) if problem is None else done.set_exception(problem)
    )
    await done


async def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    store = await StoreApart.open(db)
    run = await store.start_run(factories.run())
    newest: list[int] = []
    store.on_commit(newest.append)
    client = Connection(uid="c1", side="client", peer_host="127.0.0.1", peer_port=5)
    exchanges = [
        factories.exchange(uid=f"c1.{number}", client_connection=client, client_index=number, tags=("a", "b"))
        for number in range(1, 31)
    ]
    exchanges.append(factories.exchange("POST", body={"fill": "x" * 3_000_000}))
    await asyncio.gather(*(record(store, one) for one in exchanges))
    with Reader.open(db) as reader:  # committed before anybody is told
        assert [bare(reader.exchange(number) or exchanges[0]) for number in (1, 30, 31)] == [
            exchanges[0],
            exchanges[29],
            exchanges[30],
        ]
    store.pending(factories.exchange(uid="c1.40", state="pending", response=None))
    store.connection(replace(client, closed_at=9.0, closed_by="client", exchanges=30))
    store.tunnel_event(TunnelEvent(at=3.0, state="up", url="https://x.example"))
    await store.flush()
    assert newest[-1] >= 32
    await store.update_run(replace(run, note="told"))
    await store.finish_run(run.id or 0, ended_at=4.0, lost=2)
    with pytest.raises(StoreError, match="there is no run 77"):
        await store.finish_run(77, ended_at=4.0)
    await store.close()
    await store.close()
    with Reader.open(db) as reader:
        found = reader.run(run.id or 0)
        assert found is not None
        assert (found.note, found.lost, found.exchange_count) == ("told", 2, 32)
        last = reader.exchange(32)
    assert last is not None
    assert last.state == "aborted"  # in flight when it closed
    with pytest.raises(StoreError, match="is closed"):
        await record(store, factories.exchange())


async def test_changes_are_stored_in_place_of_the_exchanges_own(tmp_path: Path) -> None:
    store = await StoreApart.open(tmp_path / "a.db")
    await store.start_run(factories.run())
    done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    store.submit_then(factories.exchange(note="secret"), done.set_result, {"note": "gone"})
    assert await done is None
    await store.close()
    with Reader.open(tmp_path / "a.db") as reader:
        found = reader.exchange(1)
    assert found is not None
    assert found.note == "gone"


async def test_one_bad_item_fails_alone(tmp_path: Path) -> None:
    store = await StoreApart.open(tmp_path / "a.db")
    await store.start_run(factories.run())
    bad = [
        factories.exchange(note="\ud800"),
        factories.exchange(note=object()),
        factories.exchange(run_id=99),
        factories.exchange(state="nonsense"),
    ]
    given = [one for pair in zip(bad, [factories.exchange() for _ in bad], strict=True) for one in pair]
    results = await asyncio.gather(*(record(store, one) for one in given), return_exceptions=True)
    assert all(isinstance(result, StoreError) for result in results[::2]), results
    assert results[1::2] == [None] * len(bad)
    assert store.last_error is None
    await store.close()


async def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"no database at all, but a text" * 100)
    with pytest.raises(StoreCorrupt) as told:
        await StoreApart.open(path)
    assert told.value.hint is not None


def writer_of(store: StoreApart) -> int:
    assert store._process is not None
    return store._process.pid


async def test_the_death_of_the_writer_is_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart_module, "_AGAIN_S", 0.01)
    store = await StoreApart.open(tmp_path / "a.db")
    run = await store.start_run(factories.run())
    await record(store, factories.exchange())
    store.pending(factories.exchange(uid="c9.1", state="pending", response=None))
    await store.flush()
    pid = writer_of(store)
    os.kill(pid, signal.SIGSTOP)
    waiting = asyncio.create_task(record(store, factories.exchange()))
    await asyncio.sleep(0)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(StoreError, match="process that writes the database ended"):
        await waiting
    assert store.last_error is not None
    assert store._again is not None
    await store._again  # another one was started
    assert store.last_error is None
    assert writer_of(store) != pid
    await record(store, factories.exchange())
    await record(store, factories.exchange(uid="c9.1"))  # makes the row of before final
    await store.finish_run(run.id or 0, ended_at=9.0)
    await store.close()
    with Reader.open(tmp_path / "a.db") as reader:
        rows = list(reader.exchanges(limit=10))
    assert [(row.run_id, row.state) for row in rows] == [(1, "complete")] * 3


_RECORDER = """
import asyncio, os, sys
sys.path.insert(0, "tests")
import factories
from scimproxy.store import StoreApart
async def main():
    store = await StoreApart.open(sys.argv[1])
    await store.start_run(factories.run())
    store.submit_then(factories.exchange(), lambda problem: None)
    await store.flush()
    print(store._process.pid, flush=True)
    for number in range(20):
        store.submit_then(factories.exchange(), lambda problem: None)
    os.kill(os.getpid(), 9)
asyncio.run(main())
"""


def test_a_killed_recorder_leaves_no_writer_and_loses_nothing_that_was_sent(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", _RECORDER, str(db)], cwd=root, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    pid = int(done.stdout)
    until = time.monotonic() + 30
    while Path(f"/proc/{pid}/stat").exists() and time.monotonic() < until:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1] == "Z":
                break
        os.sched_yield()
    else:
        assert time.monotonic() < until, "the writer lives on"
    with contextlib.closing(sqlite3.connect(db)) as conn:
        assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert conn.execute("SELECT count(*) FROM exchanges").fetchone()[0] >= 1


async def test_closing_while_another_writer_starts_ends_that_one_too(tmp_path: Path) -> None:
    store = await StoreApart.open(tmp_path / "a.db")
    await store.start_run(factories.run())
    os.kill(writer_of(store), signal.SIGKILL)
    await store._gone.wait()
    starting = asyncio.create_task(store._start())
    store._again = starting
    await asyncio.sleep(0)
    process = store._process
    await store.close()
    assert process is not None
    assert process.poll() is not None


async def test_a_terminals_signals_pass_the_writer_by(tmp_path: Path) -> None:
    store = await StoreApart.open(tmp_path / "a.db")
    await store.start_run(factories.run())
    pid = writer_of(store)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)
    await record(store, factories.exchange())
    assert os.getpgid(pid) != os.getpgid(0)
    assert writer_of(store) == pid
    await store.close()
