"""The store in a process of its own: what goes in comes out, it ends with its recorder, and its death is survived."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import factories
import pytest

from scimproxy.errors import StoreBusy, StoreCorrupt, StoreError
from scimproxy.exchange import Connection, Exchange, Headers, TunnelEvent
from scimproxy.proxy.native import new_event_loop
from scimproxy.store import Reader, StoreApart
from scimproxy.store import apart as apart_module
from scimproxy.store.wire import frame

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
    assert trouble(store) is None
    await store.close()


async def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"no database at all, but a text" * 100)
    with pytest.raises(StoreCorrupt) as told:
        await StoreApart.open(path)
    assert told.value.hint is not None


def trouble(store: StoreApart) -> StoreError | None:
    return store.last_error


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop turn until something is so; the test's own time limit ends what never is."""
    while not holds():  # noqa: ASYNC110 - what is waited for has no event of its own
        await asyncio.sleep(0.001)


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
    with pytest.raises(StoreError, match="the process that writes the database was ended by SIGKILL"):
        await waiting
    assert trouble(store) is not None
    assert store._again is not None
    await store._again  # another one was started
    assert trouble(store) is None
    assert writer_of(store) != pid
    await record(store, factories.exchange())
    await record(store, factories.exchange(uid="c9.1"))  # makes the row of before final
    await store.finish_run(run.id or 0, ended_at=9.0)
    await store.close()
    with Reader.open(tmp_path / "a.db") as reader:
        rows = list(reader.exchanges(limit=10))
    assert [(row.run_id, row.state) for row in rows] == [(1, "complete")] * 3


async def test_a_run_ends_though_its_writer_dies_just_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart_module, "_AGAIN_S", 0.01)
    store = await StoreApart.open(tmp_path / "a.db")
    run = await store.start_run(factories.run())
    pid = writer_of(store)
    os.kill(pid, signal.SIGSTOP)
    ending = asyncio.create_task(store.finish_run(run.id or 0, ended_at=9.0, lost=3))
    starting = asyncio.create_task(store.start_run(factories.run()))  # which would be there twice
    await asyncio.sleep(0)
    os.kill(pid, signal.SIGKILL)
    await ending
    with pytest.raises(StoreError, match="SIGKILL"):
        await starting
    await store.close()
    with Reader.open(tmp_path / "a.db") as reader:
        found = reader.run(run.id or 0)
    assert found is not None
    assert found.lost == 3


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
    assert store._again is not None
    store._again.cancel()  # else it starts one more after half a second, which is about what this takes under load
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


async def test_what_comes_while_another_writer_starts_is_refused_and_spoils_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart_module, "_AGAIN_S", 0.01)
    store = await StoreApart.open(tmp_path / "a.db")
    run = await store.start_run(factories.run())
    shared = Headers([("X-Shared", "by all")])
    os.kill(writer_of(store), signal.SIGKILL)
    await store._gone.wait()
    again = store._again
    assert again is not None
    refused = 0
    await until(lambda: store._hello is not None)
    while not again.done():  # the encoder is the new writer's already
        with contextlib.suppress(StoreError):
            await record(store, factories.exchange(upstream_request_headers=shared))
            break
        refused += 1
        store.pending(factories.exchange(uid="c1.1", state="pending", upstream_request_headers=shared))
        await asyncio.sleep(0)
    assert refused > 0
    await again
    pid = writer_of(store)
    await record(store, factories.exchange(upstream_request_headers=shared))
    assert writer_of(store) == pid
    await store.finish_run(run.id or 0, ended_at=9.0)
    await store.close()
    with Reader.open(tmp_path / "a.db") as reader:
        found = reader.exchange(1)
    assert found is not None
    assert found.upstream_request_headers == shared


async def test_a_writer_that_cannot_be_started_again_is_tried_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart_module, "_AGAIN_S", 0.01)
    store = await StoreApart.open(tmp_path / "a.db")
    await store.start_run(factories.run())
    real = apart_module.start
    tries: list[int] = []

    def no_child() -> object:
        tries.append(1)
        if len(tries) == 3:
            monkeypatch.setattr(apart_module, "start", real)
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(apart_module, "start", no_child)
    os.kill(writer_of(store), signal.SIGKILL)
    await store._gone.wait()
    assert store._again is not None
    assert not store._again.done()
    while len(tries) < 3:
        assert trouble(store) is not None
        await asyncio.sleep(0.001)
    await store._again
    assert trouble(store) is None
    await record(store, factories.exchange())
    await store.close()


async def test_closing_while_none_can_be_started_comes_to_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart_module, "_AGAIN_S", 0.0)
    store = await StoreApart.open(tmp_path / "a.db")
    tried = asyncio.Event()

    def no_child() -> object:
        tried.set()
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(apart_module, "start", no_child)
    os.kill(writer_of(store), signal.SIGKILL)
    await tried.wait()
    await store.close()
    assert store._process is None
    with pytest.raises(StoreError, match="cannot be started"):
        await record(store, factories.exchange())


async def test_a_database_that_was_taken_away_is_not_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart_module, "_AGAIN_S", 0.0)
    store = await StoreApart.open(tmp_path / "a.db")
    await store.start_run(factories.run())
    os.kill(writer_of(store), signal.SIGKILL)
    await store._gone.wait()
    (tmp_path / "a.db").rename(tmp_path / "elsewhere.db")
    await until(lambda: "there is no database" in str(trouble(store)))
    other = await StoreApart.open(tmp_path / "a.db")  # another database in its place has no such run
    await until(lambda: "there is no run 1" in str(trouble(store)))
    await store.close()
    await other.close()


async def test_a_writer_that_dies_right_after_its_hello_is_no_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answer and its end come in one turn of the loop, before whoever waits for the answer goes on."""
    real = apart_module.start

    def short_lived() -> tuple[subprocess.Popen[bytes], socket.socket]:
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.sendall(frame((None, 0, None, 0)))
        return subprocess.Popen([sys.executable, "-c", ""]), ours

    def readable(store: StoreApart) -> None:
        read(store)
        if store._sock is not None:
            read(store)

    read = StoreApart._readable
    monkeypatch.setattr(StoreApart, "_readable", readable)
    monkeypatch.setattr(apart_module, "start", short_lived)
    with pytest.raises(StoreError, match="ended as soon as it had begun"):
        await StoreApart.open(tmp_path / "a.db")
    monkeypatch.setattr(apart_module, "start", real)
    monkeypatch.setattr(StoreApart, "_readable", read)
    await (await StoreApart.open(tmp_path / "a.db")).close()


def raised_in_the_loop() -> list[object]:
    raised: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))
    return raised


async def test_closing_while_another_writer_opens_leaves_no_fault_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart_module, "_AGAIN_S", 0.0)
    raised = raised_in_the_loop()
    store = await StoreApart.open(tmp_path / "a.db")
    await store.start_run(factories.run())
    os.kill(writer_of(store), signal.SIGKILL)
    await store._gone.wait()
    await until(lambda: store._hello is not None)
    process = store._process
    assert process is not None
    await store.close()
    assert process.poll() == 0
    assert raised == []


async def test_a_cancelled_start_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    real = apart_module.start

    def child() -> tuple[subprocess.Popen[bytes], socket.socket]:
        process, sock = real()
        started.append(process)
        return process, sock

    monkeypatch.setattr(apart_module, "start", child)
    opening = asyncio.create_task(StoreApart.open(tmp_path / "a.db"))
    await until(lambda: bool(started))
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert started[0].poll() == 0


async def test_a_stuck_writer_is_told_then_ended_and_followed_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart_module, "_AGAIN_S", 0.0)
    store = await StoreApart.open(tmp_path / "a.db")
    run = await store.start_run(factories.run())
    assert store._sock is not None
    for _ in range(apart_module._STUCK + 1):  # nothing is waited for
        store._look(store._sock)
    assert trouble(store) is None
    pid = writer_of(store)
    os.kill(pid, signal.SIGSTOP)
    waiting = asyncio.create_task(record(store, factories.exchange()))
    await asyncio.sleep(0)
    for _ in range(apart_module._SLOW):
        store._look(store._sock)
    assert isinstance(trouble(store), StoreBusy)
    assert "does not answer" in str(trouble(store))
    for _ in range(apart_module._STUCK - apart_module._SLOW):
        store._look(store._sock)
    with pytest.raises(StoreError):
        await waiting
    assert store._again is not None
    await store._again
    assert writer_of(store) != pid
    await record(store, factories.exchange())
    await store.finish_run(run.id or 0, ended_at=9.0)
    await store.close()


async def test_a_writer_that_dies_while_it_takes_no_more_is_followed_by_one_that_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart_module, "_AGAIN_S", 0.0)
    store = await StoreApart.open(tmp_path / "a.db")
    await store.start_run(factories.run())
    pid = writer_of(store)
    os.kill(pid, signal.SIGSTOP)
    big = [asyncio.create_task(record(store, factories.exchange(body={"fill": "x" * 500_000}))) for _ in range(8)]
    await until(lambda: store._flushing and store._held > 0)
    await asyncio.sleep(0)
    os.kill(pid, signal.SIGKILL)
    await asyncio.gather(*big, return_exceptions=True)
    assert store._again is not None
    await store._again
    await record(store, factories.exchange())
    await store.close()


async def test_a_slow_writer_that_answers_again_is_forgiven(tmp_path: Path) -> None:
    store = await StoreApart.open(tmp_path / "a.db")
    await store.start_run(factories.run())
    pid = writer_of(store)
    os.kill(pid, signal.SIGSTOP)
    waiting = asyncio.create_task(record(store, factories.exchange()))
    await asyncio.sleep(0)
    assert store._sock is not None
    for _ in range(apart_module._SLOW):
        store._look(store._sock)
    assert trouble(store) is not None
    os.kill(pid, signal.SIGCONT)
    await waiting
    assert trouble(store) is None
    await store.close()


async def test_closing_with_a_stuck_writer_comes_to_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart_module, "_LOOK_S", 0.001)
    store = await StoreApart.open(tmp_path / "a.db")
    await store.start_run(factories.run())
    process = store._process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    waiting = asyncio.create_task(record(store, factories.exchange()))
    await asyncio.sleep(0)
    await store.close()
    with pytest.raises(StoreError, match="SIGKILL"):
        await waiting
    assert process.poll() == -signal.SIGKILL


async def test_what_waits_for_a_stuck_writer_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that hang up leave their exchanges behind; others come."""
    monkeypatch.setattr(apart_module, "_MOST_HELD", 2_000_000)
    store = await StoreApart.open(tmp_path / "a.db")
    run = await store.start_run(factories.run())
    pid = writer_of(store)
    os.kill(pid, signal.SIGSTOP)
    told: list[BaseException | None] = []
    big = factories.exchange("POST", body={"fill": "x" * 100_000})
    connection = Connection(uid="c7", side="client", peer_host="127.0.0.1")
    for _ in range(100):
        store.submit_then(big, told.append)
        store.pending(big)
        store.connection(connection)
        await asyncio.sleep(0)
    assert store._held < 2_300_000
    assert isinstance(trouble(store), StoreBusy)  # new requests are refused before the server is asked
    refused = [problem for problem in told if isinstance(problem, StoreBusy)]
    assert 0 < len(refused) == len(told) < 100
    os.kill(pid, signal.SIGCONT)
    await store.flush()
    assert trouble(store) is None
    assert store._held == 0
    assert len(told) == 100
    assert told.count(None) == 100 - len(refused)
    await store.finish_run(run.id or 0, ended_at=9.0)
    await store.close()


async def test_so_is_how_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart_module, "_MOST_WAITING", 5)
    store = await StoreApart.open(tmp_path / "a.db")
    await store.start_run(factories.run())
    results = await asyncio.gather(*(record(store, factories.exchange()) for _ in range(20)), return_exceptions=True)
    assert results[:5] == [None] * 5
    assert isinstance(results[-1], StoreBusy)
    await record(store, factories.exchange())
    assert trouble(store) is None
    await store.close()


_SHADOWED = """
import asyncio
import factories
from scimproxy.store import StoreApart
async def main():
    store = await StoreApart.open(sys.argv[1])
    await store.start_run(factories.run())
    done = asyncio.get_running_loop().create_future()
    store.submit_then(factories.exchange(), done.set_result)
    print(await done)
    await store.close()
asyncio.run(main())
"""


def test_what_lies_in_the_folder_is_not_imported(tmp_path: Path) -> None:
    """Neither modules of the standard library's names nor another scimproxy, there or in a site-packages behind."""
    root = Path(__file__).parent.parent
    for name in ("sqlite3", "pickle", "marshal", "logging", "scimproxy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(99)\n")
    program = f"import sys; sys.path[:0] = [{str(root)!r}]; sys.path.append({str(root / 'tests')!r})\n{_SHADOWED}"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, str(tmp_path / "a.db")],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "None\n", "")


async def test_who_wants_to_end_at_once_waits_a_moment_only(tmp_path: Path) -> None:
    store = await StoreApart.open(tmp_path / "a.db")
    await store.start_run(factories.run())
    process, sock = store._process, store._sock
    assert process is not None
    assert sock is not None
    os.kill(process.pid, signal.SIGSTOP)
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    store.hurry()
    for _ in range(apart_module._HURRIED - 1):
        store._look(sock)
    assert process.poll() is None
    store._look(sock)
    await closing
    assert process.poll() == -signal.SIGKILL


def test_all_of_it_in_the_loop_that_recordings_run_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A uvloop where there is one; the other tests have asyncio's own loop."""
    cases = (
        test_the_death_of_the_writer_is_survived,
        test_a_writer_that_cannot_be_started_again_is_tried_until_it_can,
        test_what_waits_for_a_stuck_writer_is_bounded,
        test_a_writer_that_dies_right_after_its_hello_is_no_writer,
    )
    for number, case in enumerate(cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        with asyncio.Runner(loop_factory=new_event_loop) as runner, monkeypatch.context() as patch:
            runner.run(case(folder, patch))
