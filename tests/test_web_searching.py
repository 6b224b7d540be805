"""A filter that fits rarely is answered piece by piece: nothing is left out, nothing comes twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from factories import exchange, run

from scimproxy.query import parse_query
from scimproxy.store import Reader, Store
from scimproxy.web import searching
from scimproxy.web.searching import look_back


@pytest.fixture(name="reader")
def _reader(tmp_path: Path) -> Reader:
    with Store.open(tmp_path / "a.db") as store:
        store.start_run(run())
        for number in range(1, 61):
            store.add(exchange(method="DELETE" if number in {2, 3, 31, 60} else "GET"))
        store.start_run(run())
        store.add(exchange(method="DELETE"))
    return Reader.open(tmp_path / "a.db")


def test_pieces_hold_what_one_look_holds(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "LIMIT_S", 0.0)
    monkeypatch.setattr(searching, "FIRST", 8)
    query, found, before, asked = parse_query("method:DELETE"), [], None, 0
    while True:
        looked = look_back(reader, query, run=1, before=before, limit=2)
        found += [row.id for row in looked.rows]
        asked += 1
        if not looked.more:
            break
        before = looked.searched or found[-1]
    assert found == [60, 31, 3, 2]
    assert asked > 4
    reader.close()


def test_words_are_looked_for_in_pieces_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The index knows parts of three letters: it says yes to all of these, and each has to be looked at.
    with Store.open(tmp_path / "a.db") as store:
        store.start_run(run())
        for number in range(1, 91):
            store.add(exchange(body="abcd" if number in {5, 66} else "abc bcd"))
    monkeypatch.setattr(searching, "LIMIT_S", 0.0)
    with Reader.open(tmp_path / "a.db") as reader:
        found: list[int] = []
        before, asked = None, 0
        while True:
            looked = look_back(reader, parse_query("abcd"), run=None, before=before, limit=9)
            found += [row.id for row in looked.rows]
            asked += 1
            if not looked.more:
                break
            before = looked.searched
        assert found == [66, 5]
        assert asked == 5


def test_one_look_is_enough_where_it_is_quick(reader: Reader) -> None:
    for text, before, ids, more in [
        ("method:DELETE", None, [61, 60], True),
        ("method:DELETE", 4, [3, 2], False),
        ("method:DELETE", 2, [], False),
        ("bjensen", None, [], False),
        ("", 3, [2, 1], False),
        ("", None, [61, 60], True),
    ]:
        looked = look_back(reader, parse_query(text), run=None, before=before, limit=2)
        assert ([row.id for row in looked.rows], looked.more, looked.searched) == (ids, more, None), text
    reader.close()


def test_nothing_is_there(tmp_path: Path) -> None:
    Store.open(tmp_path / "a.db").close()
    with Reader.open(tmp_path / "a.db") as reader:
        assert look_back(reader, parse_query("op:patch"), run=None, before=None, limit=2).rows == []
