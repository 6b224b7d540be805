"""The store: what goes in comes out; groups, futures, pending rows; several processes; bad surroundings."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import stat
import string
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, wait
from dataclasses import replace
from pathlib import Path

import pytest
from factories import T0, connection, exchange, request, response, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scimproxy.errors import StoreBusy, StoreCorrupt, StoreError, StoreFull, StoreTooNew
from scimproxy.exchange import (
    Certificate,
    Connection,
    Content,
    Exchange,
    Failure,
    Headers,
    Request,
    Response,
    Rewrite,
    Run,
    Timings,
    Tls,
    TunnelEvent,
)
from scimproxy.store import Reader, Store
from scimproxy.store import connecting as connecting_module
from scimproxy.store.rows import from_iso, loose_row, to_iso
from scimproxy.store.schema import SCHEMA_VERSION
from scimproxy.store.writing import Item, Writer

ROOT = Path(__file__).parent.parent


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "new" / "s.db"


def bare(one: Exchange) -> Exchange:
    """Without what the store gives."""
    return replace(one, id=None, seq=None, run_id=None)


# --- round trips ---

text = st.text(st.characters(codec="utf-8"), max_size=12)
maybe_text = st.none() | text
latin = st.text(st.characters(max_codepoint=255), max_size=12)
number = st.integers(0, 2**40)
maybe_number = st.none() | number
moment = st.integers(-(10**15), 10**16).map(lambda micros: micros / 1_000_000)
maybe_moment = st.none() | moment
milliseconds = st.none() | st.floats(0, 1e9)
headers = st.lists(st.tuples(latin, latin), max_size=4).map(Headers)
contents = st.one_of(
    st.binary(max_size=40).map(Content.of),
    st.builds(
        lambda data, more: Content(data=data, size=len(data) + len(more), sha256=Content.of(data + more).sha256),
        st.binary(max_size=20),
        st.binary(min_size=1, max_size=20),
    ),
    st.builds(lambda data, size: replace(Content.of(data), size=size, redacted=True), st.binary(max_size=20), number),
    st.just(Content()),
    st.binary(min_size=5000, max_size=5000).map(lambda data: Content.of(data[:10] * 1000)),
)
certificates = st.builds(
    Certificate,
    sha256=st.text(string.hexdigits, min_size=64, max_size=64),
    subject=text,
    issuer=text,
    names=st.lists(text, max_size=3).map(tuple),
    not_before_at=moment,
    not_after_at=moment,
    der=st.binary(max_size=10),
)
tls = st.none() | st.builds(
    Tls,
    version=maybe_text,
    cipher=maybe_text,
    alpn=maybe_text,
    sni=maybe_text,
    chain=st.lists(certificates, max_size=2, unique_by=lambda one: one.sha256).map(tuple),
)


def connections(side: str) -> st.SearchStrategy[Connection | None]:
    return st.none() | st.builds(
        Connection,
        uid=text,
        side=st.just(side),
        peer_host=maybe_text,
        peer_port=maybe_number,
        local_host=maybe_text,
        local_port=maybe_number,
        server_name=maybe_text,
        http_version=maybe_text,
        opened_at=maybe_moment,
        closed_at=maybe_moment,
        closed_by=st.sampled_from([None, "client", "upstream", "proxy"]),
        close_reason=maybe_text,
        exchanges=maybe_number,
        tls=tls,
    )


exchanges = st.builds(
    Exchange,
    request=st.builds(
        Request,
        method=latin,
        target=latin,
        http_version=latin,
        headers=headers,
        content=contents,
        trailers=st.none() | headers,
        wire_bytes=maybe_number,
    ),
    response=st.none()
    | st.builds(
        Response,
        status_code=st.integers(0, 999),
        reason=latin,
        http_version=latin,
        headers=headers,
        content=contents,
        trailers=st.none() | headers,
        wire_bytes=maybe_number,
    ),
    failure=st.none()
    | st.builds(
        Failure,
        kind=st.sampled_from(["refused", "tls", "timeout"]),
        message=text,
        phase=st.sampled_from([None, "dns", "wait"]),
        side=st.sampled_from(["client", "upstream", "proxy"]),
    ),
    state=st.sampled_from(["complete", "aborted"]),
    origin=st.sampled_from([None, "upstream", "proxy", "mock"]),
    started_at=moment,
    ended_at=maybe_moment,
    timings=st.builds(
        Timings,
        dns=milliseconds,
        connect=milliseconds,
        tls=milliseconds,
        send=milliseconds,
        wait=milliseconds,
        receive=milliseconds,
        total=milliseconds,
    ),
    client_connection=connections("client"),
    client_index=maybe_number,
    upstream_connection=connections("upstream"),
    upstream_index=maybe_number,
    upstream_address=maybe_text,
    client_address=maybe_text,
    client_claim=maybe_text,
    scheme=maybe_text,
    host=maybe_text,
    upstream_request_target=maybe_text,
    upstream_request_headers=st.none() | headers,
    upstream_response_headers=st.none() | headers,
    rewrites=st.lists(st.builds(Rewrite, text, text, text), max_size=2).map(tuple),
    attempts=maybe_number,
    ended=maybe_text,
    client=text,
    note=maybe_text,
    tags=st.lists(text, max_size=2).map(tuple),
    uid=maybe_text,
    parent_id=maybe_number,
    extra=st.lists(st.tuples(text, text), max_size=2).map(tuple),
)
runs = st.builds(
    Run,
    kind=st.sampled_from(["record", "suite", "replay", "mock", "import", "demo"]),
    name=text,
    started_at=moment,
    ended_at=maybe_moment,
    target=maybe_text,
    public_url=maybe_text,
    engine=maybe_text,
    version=maybe_text,
    note=maybe_text,
    source_run_id=maybe_number,
    lost=number,
)


def test_every_field_of_the_types_is_in_the_strategies_above() -> None:
    """So that a new field cannot be forgotten in the round trip: st.builds leaves out what has a default."""
    given_by_the_store = {"id", "seq", "run_id", "exchange_count"}
    source = Path(__file__).read_text(encoding="utf-8").partition("# --- round trips ---")[2]
    for kind in (Exchange, Request, Response, Failure, Timings, Connection, Tls, Certificate, Run):
        for name in set(kind.__dataclass_fields__) - given_by_the_store:
            assert f"{name}=" in source, f"{kind.__name__}.{name}"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(tmp_path_factory.mktemp("round") / "s.db") as store:
        yield store


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(one=exchanges, of=runs)
def test_exchanges_connections_and_runs_come_out_as_they_went_in(shared: Store, one: Exchange, of: Run) -> None:
    started = shared.start_run(of)
    number = shared.add(replace(one, run_id=started.id))
    with Reader.open(shared.path) as reader:
        stored = reader.exchange(number)
        assert stored is not None and started.id is not None
        assert stored.id == number and stored.run_id == started.id
        assert bare(stored) == one
        assert reader.run(started.id) == replace(started, exchange_count=1)
        shared.rederive()
        reader.catch_up()  # which compresses big contents
        assert reader.exchange(number) == stored


@given(moment)
def test_moments_survive_to_the_microsecond(at: float) -> None:
    assert from_iso(to_iso(at)) == at


def test_columns_read_as_their_names_say(db: Path) -> None:
    with Store.open(db) as store:
        store.start_run(run())
        store.add(exchange(note="seen", tags=("a", "b")))
        store.tunnel_event(TunnelEvent(at=T0, state="up", url="https://x.example"))
        store.flush()
        conn = sqlite3.connect(db)
        conn.row_factory = sqlite3.Row
        row = conn.execute("SELECT * FROM exchanges JOIN headers ON headers.id = request_headers_id").fetchone()
        assert (row["method"], row["target"], row["status_code"]) == ("GET", "/scim/v2/Users", 200)
        assert row["started_at"] == "2026-09-21T14:13:20.000000Z"
        assert row["total_ms"] == 12.0
        assert row["fields"] == '[["Host","scim.example"]]'
        assert row["tags"] == '["a","b"]'
        assert conn.execute("SELECT request_size FROM exchange_details").fetchone()[0] == 0
        strict = conn.execute("SELECT name, strict FROM pragma_table_list WHERE type = 'table' AND schema = 'main'")
        own = {name for name, is_strict in strict if is_strict}
        assert {"runs", "connections", "certificates", "headers", "contents", "exchanges", "operations"} <= own
        conn.close()
        with Reader.open(db) as reader:
            (event,) = reader.tunnel_events(1)
            assert (event.state, event.url, event.run_id) == ("up", "https://x.example", 1)


def test_equal_contents_headers_certificates_and_connections_are_stored_once(db: Path) -> None:
    leaf = Certificate("ab" * 32, "CN=a", "CN=b", ("a",), T0, T0 + 1, b"der")
    upstream = connection("upstream", tls=Tls("TLSv1.3", chain=(leaf,)))
    other = connection("upstream", tls=Tls("TLSv1.3", chain=(leaf,)))
    with Store.open(db) as store:
        first = store.start_run(run())
        for index in range(1, 4):
            store.add(exchange(body={"a": 1}, upstream_connection=replace(upstream, exchanges=index)))
        store.add(exchange(body={"a": 1}, upstream_connection=other))
        store.flush()
        with Reader.open(db) as reader:
            assert first.id is not None
            seen = [one for one in reader.connections(first.id) if one.side == "upstream"]
            assert seen == [replace(upstream, exchanges=3), other]
    conn = sqlite3.connect(db)
    counts = [conn.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("certificates", "contents")]
    assert counts == [1, 2]  # the body and the empty content
    assert conn.execute("SELECT count(*) FROM headers").fetchone()[0] == 2
    conn.close()


def test_what_becomes_of_a_connection_is_added_and_never_taken_back(db: Path) -> None:
    client = connection("client", exchanges=1)
    closed = replace(client, exchanges=2, closed_at=T0 + 9, closed_by="client", close_reason="idle")
    with Store.open(db) as store, Reader.open(db) as reader:
        begun = store.start_run(run())
        assert begun.id is not None
        store.add(exchange(client_connection=client, upstream_connection=None))
        store.connection(closed)
        store.add(exchange(client_connection=client, upstream_connection=None))  # an older snapshot, late
        store.connection(connection("client", uid="never carried anything"))
        store.flush()
        known, silent = reader.connections(begun.id)
        assert known == closed
        assert silent.uid == "never carried anything"


# --- files ---


def test_files_are_private(db: Path) -> None:
    old = os.umask(0o022)
    try:
        with Store.open(db) as store:
            store.start_run(run())
            modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in db.parent.iterdir()}
            assert modes == {"s.db": 0o600, "s.db-wal": 0o600, "s.db-shm": 0o600}
            assert stat.S_IMODE(db.parent.stat().st_mode) == 0o700
    finally:
        os.umask(old)


def test_an_unknown_file_is_made_only_where_wanted(db: Path) -> None:
    with pytest.raises(StoreError, match="there is no database"):
        Store.open(db, create=False)
    with pytest.raises(StoreError, match="there is no database"):
        Reader.open(db)
    db.parent.mkdir()
    with pytest.raises(StoreError, match="is a folder"):
        Store.open(db.parent)
    (db.parent / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot be made"):
        Store.open(db.parent / "file" / "s.db")
    db.touch()
    with pytest.raises(StoreError, match="is empty"):
        Reader.open(db)


def test_foreign_and_newer_files_are_refused_and_left_alone(tmp_path: Path) -> None:
    words = tmp_path / "words.db"
    words.write_text("these are words, not a database " * 100)
    other = tmp_path / "other.db"
    conn = sqlite3.connect(other)
    conn.execute("CREATE TABLE bookmarks (x)")
    conn.commit()
    conn.close()
    newer = tmp_path / "newer.db"
    Store.open(newer).close()
    conn = sqlite3.connect(newer)
    conn.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    conn.close()
    for path, kind, message in (
        (words, StoreCorrupt, "is not a SQLite database"),
        (other, StoreCorrupt, "not one of scimproxy"),
        (newer, StoreTooNew, "newer scimproxy"),
    ):
        before = path.read_bytes()
        for open_it in (Store.open, Reader.open):
            with pytest.raises(kind, match=message) as caught:
                open_it(path)
            assert caught.value.hint
        assert path.read_bytes() == before


def test_damaged_files_give_a_sentence(db: Path) -> None:
    with Store.open(db) as store:
        store.start_run(run())
        for index in range(200):
            store.submit(exchange(target=f"/scim/v2/Users/{index}", answer={"n": index, "x": "y" * 300}))
    whole = db.read_bytes()
    for name, data in (
        ("cut", whole[: len(whole) // 2]),
        ("zeroed", whole[:4096] + bytes(len(whole) - 4096)),
        ("flipped", whole[:200] + bytes(byte ^ 0xFF for byte in whole[200:])),
    ):
        path = db.parent / f"{name}.db"
        path.write_bytes(data)
        with pytest.raises(StoreCorrupt) as caught:
            read_all(path)
        assert str(path) in caught.value.message
        with pytest.raises(StoreCorrupt):
            write_some(path)


def read_all(path: Path) -> None:
    with Reader.open(path) as reader:
        reader.runs()
        for row in reader.exchanges():
            reader.exchange(row.id)
        for number in range(1, 201):
            reader.exchange(number)


def write_some(path: Path) -> None:
    with Store.open(path) as store:
        store.start_run(run())
        for _ in range(50):
            store.add(exchange(answer={"x": "y" * 300}))


def test_a_database_of_the_first_schema_opens(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    shutil.copy(Path(__file__).parent / "data" / "schema-1.db", path)
    with Reader.open(path) as reader:
        found = [reader.exchange(row.id) for row in reader.exchanges()]
        assert [one.request.method for one in found if one] == ["POST", "GET", "PATCH", "GET"]
        assert [row.summary for row in reader.search("bjensen op:create")] == ["Create User bjensen"]
        assert reader.suite(1) is None
    with Store.open(path) as store:
        begun = store.start_run(run())
        store.add(exchange())
        assert begun.id == 2
    with Reader.open(path) as reader:
        assert reader.suite(2) is None
    with contextlib.closing(sqlite3.connect(path)) as conn:
        assert conn.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION


# --- groups ---


def test_ids_and_seqs_grow_and_a_future_means_committed(db: Path) -> None:
    with Store.open(db) as store:
        store.start_run(run())
        futures = [store.submit(exchange()) for _ in range(50)]
        first = futures[0].result()
        with contextlib.closing(sqlite3.connect(db)) as conn:
            assert conn.execute("SELECT count(*) FROM exchanges WHERE id = ?", (first,)).fetchone()[0] == 1
        assert [future.result() for future in futures] == list(range(1, 51))
        with Reader.open(db) as reader:
            assert [row.seq for row in reader.changes(after=0)] == list(range(1, 51))
            assert reader.newest_seq() == 50


def test_one_bad_item_fails_alone(db: Path) -> None:
    bad = [
        exchange(note="\ud800"),
        exchange(started_at=1e20),
        exchange(attempts=2**70),
        exchange(run_id=99),
        exchange(state="nonsense"),
        exchange(attempts="two"),
    ]
    with Store.open(db) as store:
        store.start_run(run())
        futures = [store.submit(one) for pair in zip(bad, [exchange() for _ in bad], strict=True) for one in pair]
        wait(futures)
        for future in futures[::2]:
            with pytest.raises(StoreError, match=r"cannot be stored|there is no run"):
                future.result()
        ids = [future.result() for future in futures[1::2]]
        assert ids == sorted(set(ids))
        assert store.last_error is None
        with Reader.open(db) as reader:
            assert [row.id for row in reader.exchanges()] == ids


def test_what_cannot_be_stored_is_not_shown_in_the_log(db: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Store.open(db) as store:
        store.start_run(run())
        with pytest.raises(StoreError, match="cannot be stored: UnicodeEncodeError at position 12") as caught:
            store.submit(exchange(note="5f1c-secret \ud800")).result()
    assert "position 12" in caplog.text
    assert "5f1c" not in caplog.text + str(caught.value)


def test_an_exchange_needs_a_run(db: Path) -> None:
    with Store.open(db) as store, pytest.raises(StoreError, match="names no run"):
        store.add(exchange())


def test_after_close_nothing_is_taken(db: Path) -> None:
    store = Store.open(db)
    store.start_run(run())
    future = store.submit(exchange())
    store.close()
    store.close()
    assert future.result() == 1
    with pytest.raises(StoreError, match="is closed"):
        store.add(exchange())
    store.pending(exchange(state="pending"))
    assert sorted(p.name for p in db.parent.iterdir()) == ["s.db"]


def test_commits_are_announced_with_the_newest_seq(db: Path) -> None:
    heard: list[int] = []

    def gone(_: int) -> None:
        raise RuntimeError("the loop is closed")

    with Store.open(db) as store:
        store.on_commit(gone)
        store.on_commit(heard.append)
        store.start_run(run())
        store.add(exchange())
        store.add(exchange())
    assert heard == [1, 2]


def test_runs_are_started_changed_finished_deleted(db: Path) -> None:
    with Store.open(db) as store, Reader.open(db) as reader:
        assert reader.run("last") is None
        first, second = store.start_run(run(name="one")), store.start_run(run(name="two"))
        assert first.id is not None and second.id is not None
        store.update_run(replace(first, note="changed"))
        store.finish_run(first.id, ended_at=T0 + 5, lost=3)
        got = reader.run(first.id)
        assert got is not None
        assert (got.note, got.ended_at, got.lost) == ("changed", T0 + 5, 3)
        last = reader.run("last")
        assert last is not None and last.name == "two"
        store.connection(connection("client", tls=Tls(chain=(Certificate("1", "", "", (), T0, T0),))))
        store.delete_run(second.id)
        assert [one.id for one in reader.runs()] == [first.id]
        store.add(exchange())  # belongs to the newest that is left
        with pytest.raises(StoreError, match="holds exchanges"):
            store.delete_run(first.id)
        for call in (
            lambda: store.update_run(replace(first, id=77)),
            lambda: store.finish_run(77, ended_at=T0),
            lambda: store.delete_run(77),
        ):
            with pytest.raises(StoreError, match="there is no run 77"):
                call()
        with pytest.raises(StoreError, match="there is no exchange 77"):
            store.annotate(77, note="x")
        store.annotate(1, note="x", tags=("t",))
        (row,) = reader.changes(after=1)
        assert (row.note, row.tags) == ("x", ("t",))


# --- pending, crashes ---


def test_a_pending_exchange_becomes_the_final_one(db: Path) -> None:
    with Store.open(db) as store, Reader.open(db) as reader:
        store.start_run(run())
        slow = exchange(state="pending", response=None)
        store.pending(slow)
        other = store.add(exchange())
        assert [(row.id, row.state) for row in reader.changes(after=0)] == [(1, "pending"), (other, "complete")]
        final = replace(slow, state="complete", response=response(200, {"x": 1}))
        assert store.add(final) == 1
        assert [(row.seq, row.id, row.state) for row in reader.changes(after=2)] == [(3, 1, "complete")]
        stored = reader.exchange(1)
        assert stored is not None
        assert replace(bare(stored), client=None) == final
        # Both in one group.
        quick = exchange(state="pending", response=None)
        store.pending(quick)
        assert store.submit(replace(quick, state="complete")).result() == 3
        assert len(reader.changes(after=0)) == 3


def test_leftovers_of_the_dead_are_aborted_and_those_of_the_living_not(db: Path) -> None:
    script = (
        f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]\n"
        "from factories import exchange, run\n"
        "from scimproxy.store import Store\n"
        "store = Store.open(sys.argv[1]); store.start_run(run())\n"
        "store.add(exchange()); store.pending(exchange(state='pending', response=None)); store.flush()\n"
        "print('ready', flush=True); sys.stdin.read()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(db)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        with Store.open(db) as store:
            assert store.recovered == 0
            store.start_run(run())
            store.pending(exchange(state="pending", response=None))
        child.send_signal(signal.SIGKILL)
        # Not waited for on purpose: a dead process that its parent has not reaped is dead.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        with Store.open(db) as store, Reader.open(db) as reader:
            assert store.recovered == 1
            # The third was still in flight when its own store was closed in order.
            assert [row.state for row in reader.exchanges()] == ["complete", "aborted", "aborted"]
            assert [row.seq for row in reader.changes(after=3)] == [4, 5]
            assert reader.runs()[0].ended_at is not None
    finally:
        child.kill()
        child.communicate()


@pytest.mark.slow
def test_kill_9_loses_nothing_that_was_acknowledged(db: Path) -> None:
    script = (
        f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]\n"
        "from factories import exchange, run\n"
        "from scimproxy.store import Store\n"
        "store = Store.open(sys.argv[1]); store.start_run(run())\n"
        "import os\n"
        "def told(future): os.write(1, b'%d\\n' % future.result())\n"
        "while True:\n"
        "    some = [store.submit(exchange(answer={'n': n, 'x': 'y' * 2000})) for n in range(8)]\n"
        "    for future in some: future.add_done_callback(told)\n"
        "    for future in some: future.result()\n"
    )
    acknowledged: set[int] = set()
    for round_number in range(4):
        child = subprocess.Popen([sys.executable, "-c", script, str(db)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        for _ in range(100 + 137 * round_number):
            acknowledged.add(int(child.stdout.readline()))
        child.kill()
        acknowledged.update(int(line) for line in child.stdout.read().split(b"\n")[:-1])
        child.wait()
        child.stdout.close()
    with contextlib.closing(sqlite3.connect(db)) as conn:
        assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert conn.execute("PRAGMA foreign_key_check").fetchall() == []
        assert acknowledged <= {number for (number,) in conn.execute("SELECT id FROM exchanges")}


# --- several at once ---


def test_readers_miss_nothing_while_two_stores_write(db: Path) -> None:
    total = 300
    with Store.open(db) as one, Store.open(db) as two, Reader.open(db) as reader:
        runs_of = [store.start_run(run()) for store in (one, two)]

        def write(store: Store, of: Run) -> None:
            for index in range(total):
                slow = exchange(state="pending", response=None, run_id=of.id)
                if index % 10 == 0:
                    store.pending(slow)
                store.add(replace(slow, state="complete", response=response(200, {"i": index})))

        threads = [threading.Thread(target=write, args=pair) for pair in zip((one, two), runs_of, strict=True)]
        for thread in threads:
            thread.start()
        seen: dict[int, str] = {}
        after = 0
        while sum(state == "complete" for state in seen.values()) < 2 * total:
            for row in reader.changes(after=after, limit=50):
                assert row.seq > after
                after = row.seq
                seen[row.id] = row.state
        for thread in threads:
            thread.join()
        assert [one.exchange_count for one in reader.runs()] == [total, total]
        for number in (1, total, 2 * total):
            assert reader.exchange(number) is not None


def test_a_copy_and_a_read_only_folder_can_be_read(db: Path, tmp_path: Path) -> None:
    with Store.open(db) as store:
        store.start_run(run())
        store.add(exchange(target="/scim/v2/Users?needle"))
        for suffix in ("", "-wal"):  # a copy made while recording
            shutil.copy(f"{db}{suffix}", tmp_path / f"live.db{suffix}")
    shutil.copy(db, tmp_path / "copy.db")
    for name in ("live.db", "copy.db"):
        with Reader.open(tmp_path / name) as reader:
            assert [row.id for row in reader.search("needle")] == [1]


def test_where_no_shm_file_can_be_made_the_file_is_read_as_it_is(
    db: Path, tmp_path: Path, mounted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(db) as store:
        store.start_run(run())
        store._writer.derives = False
        store.add(exchange(target="/scim/v2/Users?needle", body="hay"))
    shutil.copy(db, mounted / "s.db")
    subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
    with Reader.open(mounted / "s.db") as reader:
        assert reader.catch_up() is False
        assert [row.summary for row in reader.search("needle")] == ["List Users"]
    with pytest.raises(StoreError, match="cannot be") as caught:
        Store.open(mounted / "s.db")
    assert "permissions" in (caught.value.hint or "")


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own, where this process may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1200k", "scimproxy-test", str(place)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_told_and_recording_goes_on_when_there_is_space(
    mounted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scimproxy.store.writing._PROBE_S", 0.01)
    monkeypatch.setattr("scimproxy.store.writing._NEEDED", 100_000)
    ballast = mounted / "ballast"
    ballast.write_bytes(bytes(500_000))
    recovered = threading.Event()
    with Store.open(mounted / "s.db") as store:
        store.start_run(run())
        stored: list[int] = []
        with pytest.raises(StoreFull) as caught:
            stored.extend(store.add(exchange(answer=os.urandom(5000))) for _ in range(500))
        assert "no space" in caught.value.message
        assert isinstance(store.last_error, StoreFull)
        ballast.unlink()

        def look() -> None:
            while store.last_error is not None:
                threading.Event().wait(0.005)
            recovered.set()

        watcher = threading.Thread(target=look, daemon=True)
        watcher.start()
        assert recovered.wait(30), "the store has not noticed that there is space again"
        stored.append(store.add(exchange(answer=b"again")))
        with Reader.open(store.path) as reader:
            found = [reader.exchange(row.id) for row in reader.exchanges()]
            assert [one.id for one in found if one is not None] == stored
            assert all(one is not None and one.response is not None for one in found)


def test_a_locked_database_is_busy_after_a_while(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting_module, "BUSY_MS", 50)
    with Store.open(db) as store:
        store.start_run(run())
        with contextlib.closing(sqlite3.connect(db, isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreBusy, match="locked by another process"):
                store.add(exchange())
            assert isinstance(store.last_error, StoreBusy)
            with pytest.raises(StoreBusy):
                Store.open(db)
            holder.execute("ROLLBACK")
        assert store.add(exchange()) == 1
        assert store.last_error is None


def test_a_fault_in_deriving_does_not_end_recording(
    db: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failed = threading.Event()

    def broken(*_: object, **_more: object) -> int:
        failed.set()
        raise ZeroDivisionError

    monkeypatch.setattr("scimproxy.store.derive.step", broken)
    with Store.open(db) as store:
        store.start_run(run())
        store.add(exchange())
        assert failed.wait(30)
        store.add(exchange())
    assert "derived rows are not made any more" in caplog.text


def test_importing_and_reading_needs_no_sqlite_utils(db: Path) -> None:
    with Store.open(db) as store:
        store.start_run(run())
        store.add(exchange())
    code = (
        "import sys; from scimproxy.store import Reader, Store\n"
        "r = Reader.open(sys.argv[1]); r.runs(); list(r.exchanges()); Store.open(sys.argv[1]).close()\n"
        "assert 'sqlite_utils' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(db)], check=True, cwd=ROOT)


def test_a_request_survives_whatever_its_bytes(db: Path) -> None:
    every = bytes(range(256))
    odd = request("POST", "/x?" + every.decode("latin-1"), headers=[("X", every.decode("latin-1"))], body=every)
    with Store.open(db) as store, Reader.open(db) as reader:
        store.start_run(run())
        got = reader.exchange(store.add(exchange(request=odd)))
        assert got is not None and got.request == odd


def test_a_lock_in_the_middle_of_a_spoiled_group_is_waited_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer.open(tmp_path / "a.db", durable=False, create=True)
    writer.write_group([Item("call", lambda: writer.start_run(run()), Future())])
    answers: list[Future[int]] = [Future() for _ in range(10)]
    notes = ["fine", "bad \ud800", *["fine"] * 8]
    group = [
        Item("exchange", loose_row(exchange(note=note)), answer) for note, answer in zip(notes, answers, strict=True)
    ]
    tries: list[int] = []
    write = writer._write

    def write_but_soon_locked(batch: list[Item]) -> None:
        tries.append(len(batch))
        if len(tries) > 3:
            locked = sqlite3.OperationalError("database is locked")
            locked.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise locked
        write(batch)

    monkeypatch.setattr(writer, "_write", write_but_soon_locked)
    assert not writer.write_group(group)
    assert tries == [10, 1, 1, 1]
    assert answers[0].result() == 1
    assert "cannot be stored" in str(answers[1].exception())
    assert all(isinstance(answer.exception(), StoreBusy) for answer in answers[2:])
    writer.conn.close()


def test_nothing_is_stored_for_a_run_that_somebody_took_away(tmp_path: Path) -> None:
    """SQLite looks up no references in the writer's connection, so the writer does."""
    with Store.open(tmp_path / "a.db") as store:
        store.start_run(run())
        store.add(exchange())
        with contextlib.closing(sqlite3.connect(tmp_path / "a.db")) as conn, conn:
            conn.execute("DELETE FROM exchanges")
            conn.execute("DELETE FROM runs")
        with pytest.raises(StoreError, match="there is no run 1"):
            store.add(exchange())
        store.tunnel_event(TunnelEvent(at=T0, state="up", run_id=1))
        store.tunnel_event(TunnelEvent(at=T0, state="up"))
        store.flush()
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db")) as conn:
        assert conn.execute("SELECT count(*) FROM exchanges").fetchone() == (0,)
        assert conn.execute("SELECT count(*) FROM tunnel_events").fetchone() == (0,)
