"""What goes wrong around us: each time a clear sentence, the exit code of `scimproxy help exit-codes`, nothing lost."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import factories
import pytest
import trustme
from listeners import CONFIG, free_port, http, listener
from recording import Up, run

from scimproxy.store import Reader, Store

USER = b'{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"1","userName":"bjensen"}'


@pytest.fixture
def upstream() -> Iterator[str]:
    with listener(lambda _: http(200, USER)) as port:
        yield f"http://127.0.0.1:{port}/scim/v2"


def told(done: subprocess.CompletedProcess[str], code: int, *said: str) -> None:
    """An error with its hint, in two or three lines, and no traceback."""
    assert done.returncode == code, done.stderr
    for words in said:
        assert words in done.stderr
    assert re.search(r"^Error: .+\n( .*\n)*?  Hint: .+$", done.stderr, re.MULTILINE), done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


# --- the target


def test_target_down(tmp_path: Path) -> None:
    target = f"http://127.0.0.1:{free_port()}/scim/v2"
    with Up(target, tmp_path / "a.db") as up:
        assert "nothing answers at" in up.wait_for("notice")["message"]
        status, body = up.ask()
        seen = up.wait_for("exchange", state="complete")
        up.stop()
    assert (status, up.code) == (502, 0)
    assert json.loads(body)["status"] == "502"
    assert "is the SCIM server running" in json.loads(body)["detail"]
    assert seen["failure"]["kind"] == "refused"
    checked = run("doctor", target, "--db", str(tmp_path / "a.db"), "--port", str(free_port()))
    assert checked.returncode == 1
    assert "fail  target: nothing answers at" in checked.stdout


def test_http_to_a_tls_server(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with listener(lambda _: http(200, CONFIG), tls=context) as port:
        with Up(f"http://127.0.0.1:{port}", tmp_path / "a.db") as up:
            status, _ = up.ask()
            failure = up.wait_for("exchange", state="complete")["failure"]
            up.stop()
        checked = run("doctor", f"http://127.0.0.1:{port}", "--db", str(tmp_path / "a.db"))
    assert (status, up.code) == (502, 0)
    assert failure["kind"] in {"protocol", "closed"}
    assert checked.returncode == 1
    assert f"-> write TARGET as https://127.0.0.1:{port}" in checked.stdout


def test_https_to_a_plain_server(tmp_path: Path) -> None:
    with listener(lambda _: http(400)) as port:
        with Up(f"https://127.0.0.1:{port}", tmp_path / "a.db") as up:
            status, _ = up.ask()
            failure = up.wait_for("exchange", state="complete")["failure"]
            up.stop()
        checked = run("doctor", f"https://127.0.0.1:{port}", "--db", str(tmp_path / "a.db"))
    assert (status, up.code) == (502, 0)
    assert failure["kind"] == "tls"
    assert "write http:// in TARGET" in failure["message"]
    assert f"-> write TARGET as http://127.0.0.1:{port}" in checked.stdout


# --- the port


def test_port_taken(upstream: str, tmp_path: Path) -> None:
    with listener(lambda _: b"") as taken:
        told(run("up", upstream, "--port", str(taken), "--db", str(tmp_path / "a.db")), 3, str(taken), "--port")
    with Reader.open(tmp_path / "a.db") as reader:
        assert reader.runs() == []


def test_the_target_is_scimproxy_itself(upstream: str, tmp_path: Path) -> None:
    port = str(urlsplit(upstream).port)
    told(run("up", upstream, "--port", port, "--db", str(tmp_path / "a.db")), 2, "scimproxy itself", "--port")
    given = ("up", "https://abc.example/scim/v2", "--public-url", "https://ABC.example/", "--port", "0")
    told(run(*given, "--db", str(tmp_path / "a.db")), 2, "scimproxy itself", "--port")
    assert not (tmp_path / "a.db").exists()


# --- the database


def test_database_locked_by_another_process(upstream: str, tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    Store.open(db).close()
    with contextlib.closing(sqlite3.connect(db, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        told(run("up", upstream, "--port", "0", "--db", str(db)), 3, f"{db} is locked by another process")
        assert run("runs", "--db", str(db)).returncode == 0  # reading goes on


def test_database_locked_in_the_middle(upstream: str, tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    with Up(upstream, db) as up:
        assert up.ask()[0] == 200
        with contextlib.closing(sqlite3.connect(db, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            before = 1
            while (given := up.ask())[0] == 200:  # what was answered until the lock is noticed stands beside it
                before += 1
            status, body = given
            assert status == 507
            assert "locked by another process" in json.loads(body)["detail"]
            assert "clients get 507" in up.wait_for("notice")["message"]
            other.rollback()
        while up.ask()[0] == 507:  # until the store has noticed; each answer is a real one
            pass
        stopped = up.stop()
    assert stopped["exchanges"] >= before + 1
    assert stopped["lost"] == 0


def test_database_corrupt(upstream: str, tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    with Store.open(db) as store:
        store.start_run(factories.run())
        store.add(factories.exchange())
    damaged = bytearray(db.read_bytes())
    damaged[100:4096] = b"\xff" * 3996
    db.write_bytes(damaged)
    for args in (["up", upstream, "--port", "0"], ["runs"], ["log"], ["prune", "--keep-runs", "1"]):
        told(run(*args, "--db", str(db)), 3, str(db), "damaged")
    assert db.read_bytes() == damaged  # nothing was "repaired" away


@pytest.mark.parametrize(
    "content", [b"not a database, but longer than its head", b"SQLite format 3\0" + b"\xff" * 200]
)
def test_something_else_than_a_database(content: bytes, upstream: str, tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    db.write_bytes(content)
    told(run("up", upstream, "--port", "0", "--db", str(db)), 3, str(db))
    told(run("runs", "--db", str(db)), 3, str(db))
    assert db.read_bytes() == content


def test_a_database_of_another_program(upstream: str, tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    with contextlib.closing(sqlite3.connect(db)) as other:
        other.execute("CREATE TABLE theirs (x)")
        other.commit()
    told(run("up", upstream, "--port", "0", "--db", str(db)), 3, "not one of scimproxy")


def test_a_database_of_a_newer_scimproxy(upstream: str, tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    Store.open(db).close()
    with contextlib.closing(sqlite3.connect(db)) as newer:
        newer.execute("PRAGMA user_version = 9999")
    for args in (["up", upstream, "--port", "0"], ["runs"]):
        told(run(*args, "--db", str(db)), 3, "newer scimproxy", "schema 9999")


def test_a_folder_in_place_of_a_database(upstream: str, tmp_path: Path) -> None:
    done = run("up", upstream, "--port", "0", "--db", str(tmp_path))
    assert done.returncode == 2
    assert "is a directory" in done.stderr


# --- the disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB with nearly nothing left; deleting `filler` makes room."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], check=False)
    if mounted.returncode:
        pytest.skip("this machine does not let us mount a small file system")
    try:
        (folder / "filler").write_bytes(b"x" * (3 * 1024 * 1024))
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def big(up: Up) -> tuple[int, bytes]:
    """A request for which there is no room on the small disk: 60 kB that cannot be shared or compressed away."""
    return up.ask("POST", "/Users", os.urandom(30_000).hex().encode())


def fill(up: Up) -> int:
    """Send requests until one is not answered with 200; how many were."""
    for number in range(500):
        status, body = big(up)
        if status != 200:
            assert status == 507
            error = json.loads(body)
            assert error["status"] == "507"
            assert "no space is left" in error["detail"]
            return number
    raise AssertionError("the disk did not fill")


def test_disk_full(upstream: str, small_disk: Path) -> None:
    db = small_disk / "a.db"
    with Up(upstream, db) as up:
        answered = fill(up)
        assert "clients get 507" in up.wait_for("notice")["message"]
        (small_disk / "filler").unlink()
        while big(up)[0] == 507:  # it recovers by itself
            pass
        answered += 1
        assert up.wait_for("notice")["message"] == "recording works again"
        stopped = up.stop()
    assert (up.code, stopped["lost"]) == (0, 0)
    with Reader.open(db) as reader:
        whole = list(reader.all_whole(1))
    with contextlib.closing(sqlite3.connect(db)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    # Everything that a client was given is there and whole; a refusal may be there too.
    given = [it for it in whole if it.response is not None and it.response.status_code == 200]
    assert len(given) == answered
    assert all(len(it.request.content.data) == it.request.content.size for it in whole)


def test_disk_full_and_traffic_passes(upstream: str, small_disk: Path) -> None:
    db = small_disk / "a.db"
    with Up(upstream, db, "--pass-when-full") as up:
        sent = 0
        while True:
            assert big(up)[0] == 200
            sent += 1
            event = up.wait_for_any("exchange", "notice")
            if event["event"] == "notice":
                break
        assert "UNRECORDED" in event["message"]
        assert up.ask()[0] == 200
        sent += 1
        (small_disk / "filler").unlink()
        stopped = up.stop()
    assert up.code == 0
    assert stopped["lost"] >= 1
    assert stopped["exchanges"] + stopped["lost"] == sent
    shown = [json.loads(line) for line in run("runs", "--db", str(db), "--json").stdout.splitlines()]
    assert shown[0]["lost"] == stopped["lost"]


def test_import_to_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    entries = [
        {
            "startedDateTime": "2026-01-02T03:04:05.678Z",
            "request": {
                "method": "POST",
                "url": "http://x/",
                "headers": [],
                "postData": {"text": os.urandom(50_000).hex()},
            },
            "response": {"status": 200, "headers": [], "content": {}},
        }
        for _ in range(40)
    ]
    file = tmp_path / "big.har"
    file.write_text(json.dumps({"log": {"version": "1.2", "entries": entries}}))
    done = run("import", str(file), "--db", str(small_disk / "a.db"))
    told(done, 3, "no space is left")
    with Reader.open(small_disk / "a.db") as reader:  # the writer may have found a first group before all was queued
        assert bool(reader.runs()) == ("run 1 holds what was stored before" in done.stderr)


# --- files


def test_a_har_of_200_mb(tmp_path: Path) -> None:
    file = tmp_path / "huge.har"
    with file.open("wb") as huge:
        huge.truncate(200 * 1024 * 1024)
    told(run("import", str(file), "--db", str(tmp_path / "a.db")), 3, "huge.har", "200 MiB, the most is 100 MiB")
    assert not (tmp_path / "a.db").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        b"\xff\xfe\x00",
        b"[]",
        b"{}",
        b'{"log":{}}',
        b'{"log":{"entries":{}}}',
        b'{"log":{"entries":[1]}}',
        b'{"log":{"entries":[{}]}}',
        b'{"log":{"entries":[{"startedDateTime":"yesterday","request":{"method":"GET","url":"x"},"response":{}}]}}',
        b'{"log":{"version":"1.2","entries":[',
        b"[" * 100_000,
        b'{"log":' * 5000,
        b"\x1b[2J",
    ],
    ids=range(14),
)
def test_a_har_of_nonsense(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "bad.har"
    file.write_bytes(content)
    done = run("import", str(file), "--db", str(tmp_path / "a.db"))
    told(done, 3, str(file))
    assert "\x1b" not in done.stderr
    assert not (tmp_path / "a.db").exists()
