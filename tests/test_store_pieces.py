from __future__ import annotations

import gzip
import random
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import factories
import pytest

from scimproxy.exchange import Content, Exchange, Headers
from scimproxy.store import Reader, Store
from scimproxy.store import loading as loading_module
from scimproxy.store.pieces import COMPRESSED, PIECE, compress, fill, lean, moment, pieces, read

TEXT = b'{"userName": "someone@example.com"},' * 60_000  # 2 MB
NOISE = random.Random(5).randbytes(2_000_000)


@pytest.fixture(name="conn")
def _conn() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as conn:
        conn.execute("CREATE TABLE contents (id INTEGER PRIMARY KEY, sha256 TEXT, encoding TEXT, data BLOB)")
        yield conn


def put(conn: sqlite3.Connection, data: bytes, sha256: str = "x") -> int:
    cursor = conn.execute("INSERT INTO contents (sha256, data) VALUES (?, zeroblob(?))", (sha256, len(data)))
    number = cursor.lastrowid
    assert number is not None
    fill(conn, number, pieces(data))
    return number


def encoding(conn: sqlite3.Connection, number: int) -> str | None:
    (found,) = conn.execute("SELECT encoding FROM contents WHERE id = ?", (number,)).fetchone()
    assert found is None or isinstance(found, str)
    return found


@pytest.mark.parametrize("size", [0, 1, PIECE, PIECE + 1, 2_000_000])
def test_what_is_filled_in_is_read_whole_or_in_part(conn: sqlite3.Connection, size: int) -> None:
    number = put(conn, TEXT[:size])
    assert read(conn, number, encoding=None) == TEXT[:size]
    assert read(conn, number, encoding=None, most=700) == TEXT[: min(size, 700)]


@pytest.mark.parametrize("size", [4096, PIECE, 2_000_000])
def test_a_content_is_compressed_once_and_reads_the_same(conn: sqlite3.Connection, size: int) -> None:
    number = put(conn, TEXT[:size])
    compress(conn, number)
    assert encoding(conn, number) == COMPRESSED
    (small,) = conn.execute("SELECT data FROM contents WHERE id = ?", (number,)).fetchone()
    assert zlib.decompress(small) == TEXT[:size]
    compress(conn, number)
    assert conn.execute("SELECT data FROM contents WHERE id = ?", (number,)).fetchone() == (small,)
    assert read(conn, number, encoding=COMPRESSED) == TEXT[:size]
    assert read(conn, number, encoding=COMPRESSED, most=900_000) == TEXT[: min(size, 900_000)]


def test_what_gains_nothing_stays_as_it_came(conn: sqlite3.Connection) -> None:
    noise, short, unhashed = put(conn, NOISE), put(conn, TEXT[:4095]), put(conn, TEXT, sha256="")
    for number in (noise, short, unhashed):
        compress(conn, number)
        assert encoding(conn, number) is None
    assert read(conn, noise, encoding=None) == NOISE


def test_the_cache_is_small_for_a_while(conn: sqlite3.Connection) -> None:
    conn.execute("PRAGMA cache_size = -8000")
    with lean(conn):
        assert conn.execute("PRAGMA cache_size").fetchone() == (-1000,)
    assert conn.execute("PRAGMA cache_size").fetchone() == (-8000,)


def test_a_moment_is_a_transaction_unless_there_is_one(conn: sqlite3.Connection) -> None:
    with moment(conn):
        assert conn.in_transaction
    assert not conn.in_transaction
    conn.execute("BEGIN")
    with moment(conn):
        pass
    assert conn.in_transaction


# -- through the store


def big(data: bytes, **fields: str) -> Exchange:
    one = factories.exchange()
    assert one.response is not None
    headers = Headers((name.replace("_", "-"), value) for name, value in fields.items())
    return replace(one, response=replace(one.response, headers=headers, content=Content.of(data)))


@pytest.mark.parametrize("data", [TEXT, NOISE], ids=["text", "noise"])
def test_big_contents_come_out_before_and_after_they_are_compressed(tmp_path: Path, data: bytes) -> None:
    db = tmp_path / "a.db"
    exchange = big(data)
    with Store.open(db) as store:
        store.start_run(factories.run())
        store.add(exchange)
        with Reader.open(db) as reader:
            found = reader.exchange(1)
            assert found is not None
            assert found.response == exchange.response
            assert reader.catch_up()
            again = reader.exchange(1)
            assert again is not None
            assert again.response == exchange.response


def test_meaning_is_derived_from_the_beginning_unless_it_is_coded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading_module, "_BEGINNING", 1000)
    coded = gzip.compress(
        b'{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "id": "7", "fill": "'
        + NOISE.hex().encode()[:1_100_000]
        + b'"}'
    )
    assert len(coded) > PIECE
    db = tmp_path / "a.db"
    with Store.open(db) as store:
        store.start_run(factories.run())
        store.add(big(TEXT))
        store.add(big(coded, Content_Encoding="gzip", Content_Type="application/scim+json"))
    with closing(sqlite3.connect(db)) as conn:
        plain, whole = loading_module.Loader(conn).begun([1, 2])
    assert plain.response is not None
    assert plain.response.content.data == TEXT[:1000]
    assert plain.response.content.size == len(TEXT)
    assert whole.response is not None
    assert whole.response.content.data == coded
