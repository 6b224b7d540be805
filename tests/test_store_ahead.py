"""What stands ahead of the database: it gets there, each exchange once, whoever dies and whenever."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import factories
import msgspec
import pytest

from scimproxy.errors import StoreError
from scimproxy.exchange import EMPTY, Certificate, Connection, Content, Headers, Tls
from scimproxy.passed import Passed
from scimproxy.recorder import Recorder
from scimproxy.store import Reader, StoreApart, ahead, bringing, checkpoints, connecting, prune
from scimproxy.store import apart as apart_module
from scimproxy.store import following as following_module
from scimproxy.store.ahead import Ahead, Tail
from scimproxy.store.entries import HEAD, Packer, Unpacker, sealed
from scimproxy.store.following import Following
from scimproxy.store.rows import EXCHANGE_COLUMNS, HEADER_PLACES, RUN_PLACE, UID_PLACE, passed_row
from scimproxy.store.serving import _Pipe
from scimproxy.store.wire import Frames, frame
from scimproxy.store.writing import Item, Writer

pytestmark = pytest.mark.skipif(os.name != "posix", reason="where there is no writing process there is no such file")

ROOT = Path(__file__).parent.parent
CHAIN = (Certificate("ab", "CN=x", "CN=y", ("x", "y"), 1.0, 2.0, b"der"),)
CLIENT = Connection("c1", "client", peer_host="127.0.0.1", peer_port=7)
UPSTREAM = Connection("u1", "upstream", tls=Tls("TLSv1.3", "A", "http/1.1", "host", CHAIN))


def passed(uid: str, *, body: bytes = b'{"id": "1"}', note: str | None = None) -> Passed:
    headers = Headers([("Content-Type", "application/scim+json"), ("X", "\xe4")])
    return Passed(
        uid=uid, method="GET", target=f"/scim/v2/Users/{uid}", http_version="1.1", headers=headers, content=EMPTY,
        wire_bytes=100, status_code=200, reason="OK", response_http_version="1.1", response_headers=headers,
        response_content=Content.of(body), response_wire_bytes=200, origin="upstream", started_at=1.0, ended_at=2.0,
        dns_ms=None, connect_ms=1.0, tls_ms=None, send_ms=0.1, wait_ms=0.2, receive_ms=0.3, total_ms=1.5,
        client_connection=CLIENT, client_index=1, upstream_connection=UPSTREAM, upstream_index=1,
        upstream_address="127.0.0.1:9", client_address="127.0.0.1", client_claim=None, scheme="http", host="x",
        upstream_request_target="/scim", upstream_request_headers=headers, upstream_response_headers=headers,
        attempts=1, ended="keep-alive", note=note, tags=("a",),
    )  # fmt: skip


def row(uid: str, **named: object) -> list[object]:
    loose = passed_row(passed(uid, **named))
    loose[2] = 1
    return loose


def uids(db: Path) -> Counter[str | None]:
    with contextlib.closing(sqlite3.connect(db)) as conn:
        return Counter(uid for (uid,) in conn.execute("SELECT uid FROM exchanges"))


def files(db: Path) -> list[str]:
    return sorted(path.name for path in ahead.files_beside(db))


def aside(db: Path) -> list[Path]:
    return sorted(db.parent.glob("*-damaged-*"))


# --- entries ---


def test_a_row_goes_in_and_comes_out() -> None:
    packer, unpacker = Packer(), Unpacker()
    given = [row("1"), row("2"), row("3", body=b"")]
    first, *others = [packer.pack(one) for one in given]
    assert [unpacker.unpack(data) for data in (first, *others)] == given
    assert len(others[0]) < len(first) - 300  # what they share is told once
    again = row("4")
    packer.forget()
    alone = packer.pack(again)
    assert Unpacker().unpack(alone) == again
    made_here = row("5")
    made_here[EXCHANGE_COLUMNS.index("upstream_connection_id")] = None
    assert Unpacker().unpack(Packer().pack(made_here)) == made_here
    pending = [*given[0]]
    pending[EXCHANGE_COLUMNS.index("response_content_id")] = None
    assert Unpacker().unpack(Packer().pack(pending)) == pending


def test_many_shared_values_are_numbered_anew() -> None:
    packer, unpacker = Packer(), Unpacker()
    for number in range(1100):
        one = row("1")
        one[HEADER_PLACES[0]] = Headers([("N", str(number))])
        assert unpacker.unpack(packer.pack(one)) == one


@pytest.mark.parametrize("value", ["\ud800", object(), 2**70])
def test_what_fits_no_column_is_told_and_spoils_nothing(value: object) -> None:
    packer = Packer()
    bad = row("1")
    bad[-4] = value
    with pytest.raises((ValueError, TypeError, OverflowError)):
        packer.pack(bad)
    good = row("2")
    assert Unpacker().unpack(packer.pack(good)) == good


def changed(at: int, value: object) -> bytes:
    anew, headers, connections, plain = msgspec.msgpack.decode(Packer().pack(row("1")))
    plain[at] = value
    return msgspec.msgpack.encode((anew, headers, connections, plain))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1garbage",
        b"\x91" * 100_000,
        msgspec.msgpack.encode((True, [], [], [1, 2])),
        msgspec.msgpack.encode((True, [(1, [("a", 5)])], [], [])),
        msgspec.msgpack.encode((True, [], [(1, {"uid": "x", "side": "nobody"})], [])),
        changed(HEADER_PLACES[0], 77),
        changed(HEADER_PLACES[0], "x"),
        changed(EXCHANGE_COLUMNS.index("client_connection_id"), 0),
        changed(EXCHANGE_COLUMNS.index("request_content_id"), "x"),
        changed(EXCHANGE_COLUMNS.index("request_content_id"), (b"", "x", "", False)),
        changed(EXCHANGE_COLUMNS.index("note"), {"a": 1}),
        changed(RUN_PLACE, 2**63),
        changed(RUN_PLACE, True),  # noqa: FBT003 - a value
        changed(UID_PLACE, 5),
    ],
)
def test_what_is_no_entry_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"this is no|not told"):
        Unpacker().unpack(data)


# --- the file ---


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Ahead, Tail]]:
    """Both ends of a file with segments that hold a few entries."""
    size = 16_384
    monkeypatch.setattr(ahead, "_SEGMENT", size)
    monkeypatch.setattr(ahead, "_STARTS", (4096, 4096 + size))
    made = ahead.create(tmp_path / "a.db", 5)
    assert made is not None
    path, tail = made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_size == path.stat().st_blocks * 512 or path.stat().st_blocks * 512 >= 4096 + 2 * size
    engine = Ahead.open(path)
    assert engine is not None
    yield engine, tail
    engine.close()
    tail.close()


def fill(engine: Ahead, most: int = 1000) -> int:
    for number in range(most):
        if not engine.append(row(f"u{engine.number + 1}", body=b"x" * 1000)):
            return number
    return most


def read(tail: Tail, upto: int | None = None) -> list[str]:
    return [str(one[-3]) for _, one in tail.read(upto, 1000, 10**6)]


def test_segments_are_used_in_turn_and_only_when_they_are_free(pair: tuple[Ahead, Tail]) -> None:
    engine, tail = pair
    fitting = fill(engine)
    assert 20 < fitting < 32
    half = tail.read(fitting // 2, 1000, 10**6)
    assert [number for number, _ in half] == list(range(1, fitting // 2 + 1))
    assert read(tail) == [f"u{number}" for number in range(fitting // 2 + 1, fitting + 1)]
    assert not engine.append(row("no"))  # small, and there is room for it: but what was refused must not be overtaken
    engine.applied = fitting // 2 + 1
    first = fill(engine)
    assert 0 < first < fitting
    assert read(tail) == [f"u{number}" for number in range(fitting + 1, fitting + first + 1)]
    for _ in range(5):
        engine.applied = engine.number
        before = engine.number
        assert fill(engine) > 0
        assert read(tail, engine.number) == [f"u{number}" for number in range(before + 1, engine.number + 1)]
    again = tail.again(engine.number - 3)
    assert read(again) == [f"u{number}" for number in range(engine.number - 2, engine.number + 1)]
    assert again.standing() == engine.number
    assert read(tail.again(engine.number)) == []
    some = tail.again(engine.number - 3)
    assert [number for number, _ in some.read(None, 1, 10**6)] == [engine.number - 2]  # whatever lies before it
    assert [number for number, _ in some.read(None, 1000, 1)] == [engine.number - 1]


def test_an_entry_that_is_too_big_leaves_the_next_ones_readable(pair: tuple[Ahead, Tail]) -> None:
    engine, tail = pair
    assert engine.append(row("u1"))
    assert not engine.append(row("u2", body=b"x" * 300_000))
    assert engine.append(row("u2"))
    assert read(tail) == ["u1", "u2"]


def overwrite(engine: Ahead, number: int, at: int = HEAD.size + 30) -> None:
    """Change a byte inside an entry."""
    place = 4096
    for _ in range(number - 1):
        place += HEAD.size + HEAD.unpack(os.pread(engine._fd, HEAD.size, place))[0]
    (byte,) = os.pread(engine._fd, 1, place + at)
    os.pwrite(engine._fd, bytes([byte ^ 1]), place + at)


@pytest.mark.parametrize("at", [0, 5, 9, HEAD.size + 30])
def test_a_damaged_entry_ends_the_reading_of_its_segment(pair: tuple[Ahead, Tail], at: int) -> None:
    engine, tail = pair
    fitting = fill(engine)
    overwrite(engine, 7, at)
    assert read(tail) == [f"u{number}" for number in range(1, 7)]
    missing = tail.skip()
    assert 0 < missing < fitting - 6
    assert read(tail) == [f"u{number}" for number in range(7 + missing, fitting + 1)]
    assert tail.skip() == 0


def test_what_a_client_wrote_is_no_entry(pair: tuple[Ahead, Tail]) -> None:
    """A body that holds an entry's bytes lies where the next entry would be looked for."""
    engine, tail = pair
    forged = sealed(1, Packer().pack(row("forged")), 0)
    os.pwrite(engine._fd, forged, 4096)
    assert read(tail) == []
    assert engine.append(row("u1"))
    assert read(tail) == ["u1"]


def test_a_whole_entry_that_holds_no_row_ends_the_reading(pair: tuple[Ahead, Tail]) -> None:
    engine, tail = pair
    os.pwrite(engine._fd, sealed(1, b"no row", engine._secret), 4096)
    assert read(tail) == []


def test_where_the_disk_is_nearly_full_there_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_SPARE", 2**60)
    assert ahead.create(tmp_path / "a.db", 5) is None
    monkeypatch.setattr(ahead, "_SPARE", 0)
    assert ahead.create(tmp_path / "nowhere" / "a.db", 5) is None

    def refused(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(ahead, "_fill", refused)
    assert ahead.create(tmp_path / "a.db", 5) is None
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        ahead.files_beside(tmp_path / "nowhere" / "a.db")


def test_a_write_that_fails_is_no_append(pair: tuple[Ahead, Tail], monkeypatch: pytest.MonkeyPatch) -> None:
    engine, tail = pair

    def refused(*_: object) -> int:
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", refused)
        assert not engine.append(row("u1"))
    assert engine.append(row("u1"))
    assert read(tail) == ["u1"]


# --- a recording ---


async def recording(db: Path) -> StoreApart:
    store = await StoreApart.open(db)
    await store.start_run(factories.run())
    assert store._ahead is not None
    return store


def submit(store: StoreApart, uid: str) -> None:
    told: list[BaseException | None] = []
    store.submit_passed(passed(uid, body=b"x" * 3000), told.append)
    assert told == [None]  # at once


async def test_it_is_answered_at_once_and_gets_there_in_order(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    store = await recording(db)
    assert len(files(db)) == 1
    store.pending(factories.exchange(uid="c1.3", state="pending", response=None))
    for number in range(1, 6):
        submit(store, f"c1.{number}")
    store.connection(CLIENT)
    await store.flush()
    with Reader.open(db) as reader:
        assert [(one.uid, one.state) for one in reader.exchanges()] == [
            ("c1.3", "complete"),  # its row was there
            *((f"c1.{number}", "complete") for number in (1, 2, 4, 5)),
        ]
        assert reader.exchange(2) is not None
    submit(store, "c1.6")
    await store.close()
    assert files(db) == []
    assert len(uids(db)) == 6
    with contextlib.closing(sqlite3.connect(db)) as conn:
        assert conn.execute("SELECT count(*) FROM progress WHERE name LIKE 'ahead-%'").fetchone() == (0,)
    with Reader.open(db) as reader:
        found = reader.exchange(2)
    expected = passed("c1.1", body=b"x" * 3000).exchange()
    assert found is not None
    assert (found.request, found.response, found.timings, found.upstream_connection) == (
        expected.request,
        expected.response,
        expected.timings,
        expected.upstream_connection,
    )


async def test_big_contents_and_durable_recordings_are_awaited(tmp_path: Path) -> None:
    store = await recording(tmp_path / "a.db")
    told: list[BaseException | None] = []
    store.submit_passed(passed("c1.1", body=b"x" * 70_000), told.append)
    assert told == []
    await store.flush()
    assert told == [None]
    await store.close()
    durable = await StoreApart.open(tmp_path / "b.db", durable=True)
    await durable.start_run(factories.run())
    durable.submit_passed(passed("c1.1"), told.append)
    assert told == [None]
    await durable.flush()
    assert told == [None, None]
    assert files(tmp_path / "b.db") == []
    await durable.close()


async def test_what_cannot_be_stored_is_told_before_it_is_answered(tmp_path: Path) -> None:
    store = await recording(tmp_path / "a.db")
    told: list[BaseException | None] = []
    store.submit_passed(passed("c1.1", note="\ud800"), told.append)
    await asyncio.sleep(0)
    assert isinstance(told[0], StoreError)
    for odd in (
        {"started_at": 1e15, "ended_at": 1e15},
        {"ended_at": float("nan")},
        {"client_connection": Connection("c9", "client", opened_at=1e15)},
    ):
        given = passed("c1.3")
        for name, value in odd.items():
            setattr(given, name, value)
        told.clear()
        store.submit_passed(given, told.append)
        await store.flush()
        assert isinstance(told[0], StoreError)
    submit(store, "c1.2")
    given = passed("c1.4")
    given.started_at = 5.0  # a clock that stepped back
    store.submit_passed(given, told.append)
    await store.close()
    assert told[1:] == [None]
    assert uids(tmp_path / "a.db") == {"c1.2": 1, "c1.4": 1}


async def test_no_secret_stands_there(tmp_path: Path) -> None:
    store = await recording(tmp_path / "a.db")
    (path,) = ahead.files_beside(tmp_path / "a.db")
    given = passed("c1.1", body=b'{"password": "hunter2hunter2", "userName": "ada"}')
    given.headers = Headers([("Authorization", "Bearer s3cr3t-s3cr3t-s3cr3t")])
    ends: list[object] = []
    Recorder(store).submit_passed(given, ends.append)
    assert ends == [None]
    content = path.read_bytes()
    assert b"ada" in content
    assert b"s3cr3t" not in content
    assert b"hunter2" not in content
    await store.close()


async def test_a_reader_finds_what_was_answered_before_it_came(tmp_path: Path) -> None:
    store = await recording(tmp_path / "a.db")

    def look() -> int:
        with Reader.open(tmp_path / "a.db") as reader:
            return len(list(reader.exchanges(limit=1000)))

    for number in range(1, 4):
        for one in range(20):
            submit(store, f"c{number}.{one}")
        assert await asyncio.to_thread(look) == number * 20
    await store.close()


async def test_a_file_without_room_makes_clients_wait_and_loses_nothing(tmp_path: Path) -> None:
    store = await recording(tmp_path / "a.db")
    assert store._process is not None
    os.kill(store._process.pid, signal.SIGSTOP)
    told: list[BaseException | None] = []
    body = b"y" * 60_000
    for number in range(100):
        store.submit_passed(passed(f"c1.{number}", body=body), told.append)
    assert 50 < len(told) < 80
    assert store._ahead is not None
    os.kill(store._process.pid, signal.SIGCONT)
    await store.flush()
    assert told == [None] * 100
    submit(store, "c1.100")
    await store.close()
    assert uids(tmp_path / "a.db") == {f"c1.{number}": 1 for number in range(101)}


async def test_a_writer_that_dies_at_any_time_writes_each_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart_module, "_AGAIN_S", 0.0)
    db = tmp_path / "a.db"
    store = await recording(db)
    sent = 0
    for turn in range(4):
        assert store._process is not None
        pid = store._process.pid
        for _ in range(100):
            sent += 1
            submit(store, f"c1.{sent}")
            if sent % 10 == 0:
                store._flush()
                await asyncio.sleep(0.001 * turn)  # a moment somewhere in its work: this is the experiment
        os.kill(pid, signal.SIGKILL)
        await store._gone.wait()
        assert store._again is not None
        await store._again
        assert store._ahead is not None
    await store.close()
    assert uids(db) == {f"c1.{number}": 1 for number in range(1, sent + 1)}
    assert files(db) == []


_RECORDER = """
import asyncio, os, sys
sys.path.insert(0, "tests")
import factories
from test_store_ahead import passed
from scimproxy.store import StoreApart
async def main():
    store = await StoreApart.open(sys.argv[1])
    await store.start_run(factories.run())
    store.pending(factories.exchange(uid="c1.5", state="pending", response=None))
    await store.flush()
    before, after = int(sys.argv[2]), int(sys.argv[3])
    for number in range(before):
        store.submit_passed(passed(f"c1.{number}", body=b"x" * 6000), lambda problem: None)
        if number % 7 == 0:
            store._flush()
            await asyncio.sleep(0)
    if after:
        os.kill(store._process.pid, 19)
    for number in range(before, before + after):
        store.submit_passed(passed(f"c1.{number}", body=b"x" * 6000), lambda problem: None)
    os.kill(store._process.pid, 9)
    os.kill(os.getpid(), 9)
asyncio.run(main())
"""


def both_killed(db: Path, before: int, after: int) -> set[str]:
    """Record in a process that kills its writer and itself; return what was answered."""
    words = [sys.executable, "-c", _RECORDER, str(db), str(before), str(after)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    return {f"c1.{number}" for number in range(before + after)}


async def test_closing_while_there_is_no_writer_leaves_the_file_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = await recording(tmp_path / "a.db")
    assert store._process is not None
    os.kill(store._process.pid, signal.SIGSTOP)
    submit(store, "c1.1")
    os.kill(store._process.pid, signal.SIGKILL)
    await store._gone.wait()
    await store.close()
    assert "not in the database yet: 1 exchange in" in caplog.text
    with Reader.open(tmp_path / "a.db") as reader:
        assert [one.uid for one in reader.exchanges()] == ["c1.1"]


async def test_a_file_that_its_next_writer_does_not_find_is_left_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart_module, "_AGAIN_S", 0.0)
    store = await recording(tmp_path / "a.db")
    (path,) = ahead.files_beside(tmp_path / "a.db")
    path.unlink()
    assert store._process is not None
    os.kill(store._process.pid, signal.SIGKILL)
    await store._gone.wait()
    assert store._again is not None
    await store._again
    told: list[BaseException | None] = []
    store.submit_passed(passed("c1.1"), told.append)
    await store.flush()
    assert told == [None]
    await store.close()
    assert uids(tmp_path / "a.db") == {"c1.1": 1}


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a recording left it that was killed with 20 exchanges standing ahead."""
    folder = tmp_path_factory.mktemp("left")
    both_killed(folder / "a.db", 0, 20)
    return folder


@pytest.fixture
def db(left: Path, tmp_path: Path) -> Path:
    shutil.copytree(left, tmp_path, dirs_exist_ok=True)
    return tmp_path / "a.db"


ANSWERED = Counter(f"c1.{number}" for number in range(20))


def test_when_all_of_it_dies_the_next_reader_finds_all_of_it_once(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    answered = both_killed(db, 300, 200)
    (path,) = ahead.files_beside(db)
    with path.open("rb") as file:
        file.seek(4096 + ahead._SEGMENT)
        assert any(file.read(16))  # both segments are used
    with Reader.open(db) as reader:
        found = Counter(one.uid for one in reader.exchanges(limit=10_000))
        states = {one.state for one in reader.exchanges(limit=10_000)}
    assert found == Counter(answered)
    assert states == {"complete"}
    assert files(db) == []
    Writer.open(db, durable=False, create=False).conn.close()
    assert uids(db) == found


@pytest.mark.parametrize("name", ["a.db-ahead-{}.bak", "a.db-ahead-{} (copy)", "a.db-ahead-0123456789ab"])
def test_a_copy_of_it_brings_nothing_in_twice(db: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    (path,) = ahead.files_beside(db)
    copy = path.with_name(name.format(path.name[-12:]))
    shutil.copy(path, copy)
    for _ in range(2):
        with Reader.open(db):
            pass
    assert uids(db) == ANSWERED
    assert copy.exists()
    assert ("is a copy of another file" in caplog.text) == (copy.name in files(db))


def test_what_another_version_wrote_stays_for_that_version(
    db: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ahead, "SHAPE", 5)
        patch.setattr(ahead, "__version__", "9.8.7")
        with Reader.open(db) as reader:
            assert len(list(reader.exchanges())) == 1
        Writer.open(db, durable=False, create=False).conn.close()
        assert caplog.text.count("was written by scimproxy") == 1
        assert "that 9.8.7 does not read" in caplog.text
        assert ahead.follow(ahead.files_beside(db)[0]) is None
    with Reader.open(db):
        assert uids(db) == ANSWERED


def test_how_far_it_is_in_the_database_is_asked_when_it_is_held(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that goes on while another brings it in, and is stopped halfway."""
    (path,) = ahead.files_beside(db)
    real = ahead.follow

    def late(told: Path) -> Tail | None:
        taken = ahead.take_over(told)
        assert taken is not None
        with contextlib.closing(taken.tail) as tail, contextlib.closing(bringing.open_writer(db).conn) as conn:
            other = Writer(db, conn)
            other.look_for_pending(1)
            rows = tail.read(None, 10, 10**6)
            assert other.write_group([Item("ahead", (tail.name, number, one), None) for number, one in rows])
        return real(told)

    monkeypatch.setattr(following_module, "follow", late)
    writer = bringing.open_writer(db)
    with contextlib.closing(writer.conn):
        following = Following.begin(writer, str(path))
        assert following is not None
        assert following.applied == 10
        writer.write_group(following.items(None, 512))
        following.end()
    assert uids(db) == ANSWERED


def entry_places(path: Path) -> list[int]:
    content, place, found = path.read_bytes(), 4096, []
    while length := HEAD.unpack_from(content, place)[0]:
        found.append(place)
        place += HEAD.size + length
    return found


@pytest.mark.parametrize(
    ("number", "at", "zeros", "kept"),
    [
        (0, HEAD.size + 30, 0, 0),  # the first: nothing after it can be read
        (0, 9, 0, 0),
        (19, HEAD.size + 30, 0, 19),  # the last, which was whole and answered
        (19, 0, 0, 19),
        (19, 9, 0, 19),
        (10, 9, 0, 10),
        (10, 0, 4096, 10),  # a page that the disk lost
    ],
)
def test_a_damaged_file_is_the_only_copy_and_is_kept(
    db: Path, number: int, at: int, zeros: int, kept: int, caplog: pytest.LogCaptureFixture
) -> None:
    (path,) = ahead.files_beside(db)
    with path.open("r+b") as file:
        file.seek(entry_places(path)[number] + at)
        (byte,) = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes(zeros) or bytes([byte ^ 64]))
    content = path.read_bytes()
    with Reader.open(db):
        pass
    assert len(uids(db)) == max(kept, 1)  # one was in flight
    assert "damaged, and not in the database" in caplog.text
    assert [one.read_bytes() for one in aside(db)] == [content]
    assert files(db) == []


def test_a_file_that_was_cut_or_whose_disk_fails_is_kept(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = ahead.files_beside(db)
    real = os.pread

    def failing(fd: int, size: int, at: int) -> bytes:
        if at >= 4096:
            raise OSError(5, "Input/output error")
        return real(fd, size, at)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", failing)
        Writer.open(db, durable=False, create=False).conn.close()
    (kept,) = aside(db)
    kept.rename(path)
    os.truncate(path, 3_000_000)
    Writer.open(db, durable=False, create=False).conn.close()
    assert uids(db) == ANSWERED
    assert len(aside(db)) == 1


def test_a_damaged_file_that_cannot_be_renamed_stays_and_brings_nothing_in_twice(
    db: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (path,) = ahead.files_beside(db)
    with path.open("r+b") as file:
        file.seek(entry_places(path)[10] + HEAD.size + 30)
        file.write(b"\xff\xff")

    def refused(_: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(ahead, "set_aside", refused)
    for _ in range(2):
        Writer.open(db, durable=False, create=False).conn.close()
    assert "can neither be removed nor renamed: Operation not permitted" in caplog.text
    assert sum(uids(db).values()) == 10
    assert len(files(db)) == 1


def test_what_the_database_does_not_take_now_is_brought_in_later(db: Path) -> None:
    with contextlib.closing(sqlite3.connect(db)) as conn:
        conn.execute("CREATE TRIGGER t BEFORE INSERT ON exchanges BEGIN SELECT RAISE(FAIL, 'not now'); END")
    Writer.open(db, durable=False, create=False).conn.close()
    assert len(files(db)) == 1
    with contextlib.closing(sqlite3.connect(db)) as conn:
        conn.execute("DROP TRIGGER t")
    Writer.open(db, durable=False, create=False).conn.close()
    assert uids(db) == ANSWERED
    assert aside(db) == []


def test_a_folder_that_cannot_be_listed_has_no_such_file_and_nothing_is_forgotten(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(sqlite3.connect(db)) as conn, conn:
        conn.execute("INSERT INTO progress VALUES ('ahead-0123456789abcdef', 7)")

    def refused(_: object) -> None:
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refused)  # root may list every folder
        assert ahead.create(db, 5) is None
        Writer.open(db, durable=False, create=False).conn.close()
        with Reader.open(db), contextlib.closing(sqlite3.connect(db)) as conn:
            assert conn.execute("SELECT value FROM progress WHERE name LIKE 'ahead-%'").fetchall() == [(7,)]
    with Reader.open(db):
        assert uids(db)["c1.0"] == 1


def test_what_a_maker_left_that_died_is_removed(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    left, held, other = (tmp_path / f"a.db-ahead-0123456789a{at}" for at in ("0.new", "1.new", "2.news"))
    for one in (left, held, other):
        one.write_bytes(b"")
    with held.open("rb") as file:
        ahead.fcntl.flock(file, ahead.fcntl.LOCK_SH)
        Writer.open(db, durable=False, create=True).conn.close()
    assert [one.exists() for one in (left, held, other)] == [False, True, True]


def test_bringing_it_in_leaves_no_thread(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "_AFTER", 1)  # as for many exchanges
    before = threading.active_count()
    with Reader.open(db):
        assert threading.active_count() == before
    assert uids(db) == ANSWERED


async def test_the_next_recording_brings_it_in_and_leaves_that_of_another_alone(db: Path) -> None:
    other = await recording(db)
    assert uids(db) == ANSWERED
    submit(other, "c9.1")
    store = await recording(db)
    assert len(files(db)) == 2
    submit(store, "c8.1")
    await store.close()
    await other.close()
    assert uids(db) == ANSWERED + Counter({"c8.1", "c9.1"})
    assert files(db) == []


def test_a_prune_brings_it_in_first(db: Path) -> None:
    prune(db, now=1.0, keep_runs=1)
    assert uids(db) == ANSWERED


def test_whoever_comes_while_another_brings_it_in_waits_for_it(db: Path) -> None:
    def look() -> int:
        with Reader.open(db) as reader:
            return len(list(reader.exchanges(limit=100)))

    with ThreadPoolExecutor(4) as threads:
        assert [one.result() for one in [threads.submit(look) for _ in range(4)]] == [20] * 4
    assert uids(db) == ANSWERED


def test_what_cannot_be_brought_in_stays_and_is_told(
    db: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connecting, "BUSY_MS", 0)
    with contextlib.closing(sqlite3.connect(db, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with Reader.open(db) as reader:
            assert len(list(reader.exchanges())) == 1
    assert "not in the database yet: 20 exchanges that were answered" in caplog.text
    assert len(files(db)) == 1
    with Reader.open(db) as reader:
        assert len(list(reader.exchanges(limit=100))) == 20


def test_so_does_what_cannot_be_written_in_the_middle(db: Path, caplog: pytest.LogCaptureFixture) -> None:
    writer = bringing.open_writer(db)
    writer.write_group = lambda _: False  # type: ignore[method-assign]  # as where its disk is full
    with contextlib.closing(writer.conn):
        bringing.bring_in(writer)
    assert "not in the database yet: what stands in" in caplog.text
    assert len(files(db)) == 1


def test_lines_of_files_that_are_gone_go(db: Path) -> None:
    with contextlib.closing(sqlite3.connect(db)) as conn, conn:
        conn.execute("INSERT INTO progress VALUES ('ahead-0123', 7)")
    Writer.open(db, durable=False, create=False).conn.close()
    with contextlib.closing(sqlite3.connect(db)) as conn:
        assert conn.execute("SELECT name FROM progress WHERE name LIKE 'ahead-%'").fetchall() == []


def test_the_file_of_another_database_is_left_alone(db: Path, caplog: pytest.LogCaptureFixture) -> None:
    db.unlink()
    for name in ("a.db-wal", "a.db-shm"):
        (db.parent / name).unlink(missing_ok=True)
    Writer.open(db, durable=False, create=True).conn.close()
    assert "another database" in caplog.text
    with Reader.open(db) as reader:
        assert list(reader.exchanges()) == []
    assert len(files(db)) == 1


def test_a_damaged_file_gives_what_is_whole_and_says_what_is_not(db: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    (path,) = ahead.files_beside(db)
    fd = os.open(path, os.O_RDWR)
    engine = Ahead(path, fd, 0)
    overwrite(engine, 11)
    engine.close()
    Writer.open(db, durable=False, create=False).conn.close()
    assert len(uids(db)) == 10
    assert "brought into the database: 10 exchanges" in caplog.text
    assert "not in the database: 10 exchanges in" in caplog.text
    assert files(db) == []
    assert len(aside(db)) == 1


@pytest.mark.parametrize("content", [b"", b"x" * 10_000, b"scimproxy ahead1" + b"\xff" * 20_000])
def test_what_is_no_such_file_is_left_alone(tmp_path: Path, content: bytes) -> None:
    db = tmp_path / "a.db"
    Writer.open(db, durable=False, create=True).conn.close()
    strange = tmp_path / "a.db-ahead-0123456789a0"
    strange.write_bytes(content)
    (tmp_path / "a.db-ahead-0123456789a1").mkdir()
    (tmp_path / "a.db-ahead-0123456789a2").symlink_to(strange)
    os.mkfifo(tmp_path / "a.db-ahead-0123456789a3")
    assert len(ahead.files_beside(db)) == 4
    with Reader.open(db) as reader:
        assert list(reader.exchanges()) == []
    Writer.open(db, durable=False, create=False).conn.close()
    assert strange.read_bytes() == content


# --- a writer that cannot write ---


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 MiB: large enough for an ahead file."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode:
        pytest.skip("only root can mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_on_a_disk_that_fills_up_all_that_was_answered_gets_there(disk: Path) -> None:
    db = disk / "a.db"
    store = await recording(db)
    place = os.statvfs(disk)
    (disk / "filler").write_bytes(b"x" * (place.f_bavail * place.f_frsize - 100_000))
    ends: list[BaseException | None] = []
    while store.last_error is None:
        store.submit_passed(passed(f"c1.{len(ends)}", body=os.urandom(1000)), ends.append)
        await asyncio.sleep(0.001)  # as fast as a client asks; until the writer has told
    assert "no space is left" in str(store.last_error)
    answered = {f"c1.{number}": 1 for number, problem in enumerate(ends) if problem is None}
    assert len(answered) == len(ends) > 10
    (disk / "filler").unlink()
    while store.last_error is not None:  # noqa: ASYNC110 - what is waited for has no event of its own
        await asyncio.sleep(0.01)
    await store.close()
    assert uids(db) == answered
    assert files(db) == []


class Served:
    """A writer in this process with both ends of its socket and of its ahead file."""

    def __init__(self, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connecting, "BUSY_MS", 0)
        self.writer = Writer.open(db, durable=False, create=True)
        self.writer.write_group([Item("call", lambda: self.writer.start_run(factories.run()), None)])
        following = Following.begin(self.writer, "")
        assert following is not None
        self.following = following
        self.ours, self.theirs = socket.socketpair()
        self.pipe = _Pipe(self.theirs, self.writer, following)
        engine = Ahead.open(following.path)
        assert engine is not None
        self.engine = engine

    def close(self) -> None:
        for one in (self.ours, self.theirs, self.writer.conn, self.writer._checkpoints):
            one.close()
        with contextlib.suppress(OSError):
            self.engine.close()
        with contextlib.suppress(OSError):
            self.following._tail.close()

    def send(self, *items: tuple[object, ...]) -> None:
        self.ours.sendall(frame(list(items)))

    def heard(self) -> tuple[object, ...]:
        """Return the last answer."""
        *_, last = Frames().feed(self.ours.recv(100_000))
        return tuple(last)

    def turn(self) -> int:
        """Do what a writer's loop does, once; return how many items there were."""
        batch = self.pipe.take(0.0001)
        self.writer.write_group(batch)
        return len(batch)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with contextlib.closing(Served(tmp_path / "a.db", monkeypatch)) as it:
        yield it


def test_what_stands_is_tried_again_until_it_can_be_written(served: Served, tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    for number in range(5):
        assert served.engine.append(row(f"u{number}"))
    served.send(("standing", 5))
    with contextlib.closing(sqlite3.connect(db, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        assert served.turn() == 5
        assert served.writer.last_error is not None
        assert served.following.applied == 0
        for _ in range(3):
            assert served.turn() == 0  # not tried with each turn: a lock is waited for long
            _, _, _, error, applied = served.heard()
            assert error is not None
            assert applied == 0
            served.writer._rest()
        holder.execute("ROLLBACK")
    served.writer._rest()
    assert served.writer.last_error is None
    assert served.turn() == 5
    assert served.following.applied == 5
    served.pipe._answer()
    assert served.heard()[-1] == 5
    assert sum(uids(db).values()) == 5


def test_what_fits_into_no_database_holds_up_nothing(
    served: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = row("bad")
    bad[2] = 99
    for one in (row("u1"), bad, row("u2")):
        assert served.engine.append(one)
    served.send(("standing", 3))
    assert served.turn() == 3
    assert served.following.applied == 3
    assert "there is no run 99" in caplog.text
    assert uids(tmp_path / "a.db") == {"u1": 1, "u2": 1}
    assert len(aside(tmp_path / "a.db")) == 1
    assert served.engine.append(bad)
    served.send(("standing", 4))
    served.turn()
    monkeypatch.setattr(bringing, "_PATIENCE_S", 3600.0)  # nobody waits for it
    with Reader.open(tmp_path / "a.db"):
        pass


def test_a_file_that_was_damaged_under_it_is_used_no_more(
    served: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        assert served.engine.append(row(f"u{number}"))
    overwrite(served.engine, 2)
    served.send(("standing", 3))
    for _ in range(3):
        served.turn()
    assert served.engine.append(row("u4"))  # the recorder does not know yet
    served.send(("standing", 4))
    served.turn()
    served.pipe._answer()
    assert served.heard()[-1] == -1
    assert "not in the database: 2 exchanges that stood in" in caplog.text
    assert files(tmp_path / "a.db") == []
    assert len(aside(tmp_path / "a.db")) == 1
    assert uids(tmp_path / "a.db") == {"u0": 1}


def test_closing_a_damaged_file_reads_on_behind_the_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ahead, "_SEGMENT", 16_384)
    monkeypatch.setattr(ahead, "_STARTS", (4096, 4096 + 16_384))
    with contextlib.closing(Served(tmp_path / "a.db", monkeypatch)) as served:
        served.writer.ending = served.following.end
        fitting = fill(served.engine)
        overwrite(served.engine, 1)
        served.send(("standing", fitting), ("close",))
        served.ours.shutdown(socket.SHUT_WR)
        served.writer.work(served.pipe)
    assert "damaged, and not in the database" in caplog.text
    assert 10 < sum(uids(tmp_path / "a.db").values()) < fitting
    assert files(tmp_path / "a.db") == []
    assert len(aside(tmp_path / "a.db")) == 1


def test_a_file_whose_damage_nobody_has_seen_is_left_by_a_writer_that_ends(served: Served, tmp_path: Path) -> None:
    assert served.engine.append(row("u0"))
    overwrite(served.engine, 1)
    served.following.end()
    assert len(files(tmp_path / "a.db")) == 1


def test_closing_a_database_that_cannot_be_written_leaves_the_file(
    served: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    db = tmp_path / "a.db"
    served.writer.ending = served.following.end
    for number in range(5):
        assert served.engine.append(row(f"u{number}"))
    served.send(("standing", 5), ("close",))
    served.ours.shutdown(socket.SHUT_WR)
    with contextlib.closing(sqlite3.connect(db, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        served.writer.work(served.pipe)
    assert "not in the database yet: 5 exchanges in" in caplog.text
    assert len(files(db)) == 1
    served.engine.close()
    with Reader.open(db) as reader:
        assert len(list(reader.exchanges())) == 5
    assert files(db) == []


def test_settling_gives_up_waiting(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bringing, "_PATIENCE_S", 0.01)
    assert served.engine.append(row("u1"))
    with Reader.open(tmp_path / "a.db") as reader:
        assert list(reader.exchanges()) == []
        monkeypatch.setattr(bringing, "_PATIENCE_S", 3600.0)
        reader.settle()  # not for the same one again
