"""The flat form of an exchange is stored as its exchange is: row by row, secrets taken out, column by column."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import factories
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimproxy import redact as module
from scimproxy.errors import ScimproxyError, StoreError
from scimproxy.exchange import EMPTY, HASH_LATER, Connection, Content, Headers
from scimproxy.passed import Passed
from scimproxy.recorder import Recorder
from scimproxy.redact import redact_headers, redact_passed, redactions
from scimproxy.secret_bodies import Keep
from scimproxy.store import StoreApart, StoreInside
from scimproxy.store.rows import loose_row, passed_row

CLIENT = Connection(uid="c1", side="client", peer_host="127.0.0.1", peer_port=1)
UPSTREAM = Connection(uid="u1", side="upstream", peer_host="127.0.0.1", peer_port=2)
SECRET = "s3cret-of-the-client"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"

FIELDS = st.lists(
    st.sampled_from(
        [
            ("Host", "127.0.0.1"),
            ("Authorization", f"Bearer {SECRET}"),
            ("Cookie", f"session={SECRET}; theme=dark"),
            ("Content-Type", "application/scim+json"),
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Content-Encoding", "gzip"),
            ("Location", f"/scim/v2/Users/1?token={SECRET}"),
            ("X-Echo", f"you said {SECRET}"),
            ("X-Token", JWT),
        ]
    ),
    max_size=5,
).map(Headers)
CONTENTS = st.sampled_from(
    [
        b"",
        b'{"userName": "ada"}',
        b'{"userName": "ada", "password": "correct horse"}',
        f'{{"detail": "the token {SECRET} is wrong"}}'.encode(),
        f"grant_type=password&client_secret={SECRET}".encode(),
        f'{{"t": "{JWT}"}}'.encode(),
        b"\xff\xfe{\0}\0",
    ]
).map(lambda data: Content.of(data) if data else EMPTY)
TARGETS = st.sampled_from(["/scim/v2/Users", f"/scim/v2/Users?access_token={SECRET}", f"/Users;jsessionid={SECRET}"])
MAYBE_MS = st.none() | st.floats(0, 1e6)


def passed(**changed: Any) -> Passed:
    """A flat exchange, everything defaulted."""
    values: dict[str, Any] = dict.fromkeys(field.name for field in fields(Passed))
    values |= {
        "uid": "c1.1",
        "method": "GET",
        "target": "/scim/v2/Users",
        "http_version": "1.1",
        "headers": Headers([("Host", "127.0.0.1")]),
        "content": EMPTY,
        "status_code": 200,
        "reason": "OK",
        "response_http_version": "1.1",
        "response_headers": Headers([("Content-Type", "application/scim+json")]),
        "response_content": Content.of(b'{"userName": "ada"}'),
        "origin": "upstream",
        "started_at": 1_760_000_000.0,
        "ended_at": 1_760_000_000.5,
        "client_connection": CLIENT,
        "client_index": 1,
        "upstream_connection": UPSTREAM,
        "upstream_index": 1,
        "ended": "keep-alive",
        "tags": (),
    }
    return Passed(**values | changed)


ANY = st.builds(
    passed,
    method=st.sampled_from(["GET", "POST"]),
    target=TARGETS,
    headers=FIELDS,
    content=CONTENTS,
    wire_bytes=st.none() | st.integers(1, 1000),
    status_code=st.sampled_from([200, 401, 500]),
    response_headers=FIELDS,
    response_content=CONTENTS,
    response_wire_bytes=st.none() | st.integers(1, 1000),
    dns_ms=MAYBE_MS,
    connect_ms=MAYBE_MS,
    tls_ms=MAYBE_MS,
    send_ms=MAYBE_MS,
    wait_ms=MAYBE_MS,
    receive_ms=MAYBE_MS,
    total_ms=MAYBE_MS,
    upstream_connection=st.none() | st.just(UPSTREAM),
    upstream_address=st.none() | st.just("127.0.0.1:2"),
    client_address=st.none() | st.just("1.1.1.1"),
    client_claim=st.none() | st.just("2.2.2.2"),
    scheme=st.none() | st.just("https"),
    host=st.none() | st.just("example.com"),
    upstream_request_target=st.none() | TARGETS,
    upstream_request_headers=st.none() | FIELDS,
    upstream_response_headers=st.none() | FIELDS,
    attempts=st.none() | st.integers(1, 2),
    parent_id=st.none() | st.integers(1, 9),
    note=st.sampled_from([None, "mock of run 1", f"see http://a/?token={SECRET}"]),
    tags=st.sampled_from([(), ("mock",), ("mock", "miss")]),
)


NAMES = st.sampled_from(
    ["Cookie", "Set-Cookie", "Authorization", "X-Api-Key", "Location", "ETag", "Link", "X-Session"]
)
WORDS = st.lists(
    st.sampled_from(
        [SECRET, JWT, "word", "Bearer ", "=", ";", "?token=", "//u:", "@h/", "sha256:01234567", "", "%41"]
    ),
    max_size=4,
).map("".join)
BLOCKS = st.lists(st.lists(st.tuples(NAMES, WORDS), max_size=4), max_size=4)


@given(BLOCKS)
def test_fields_that_came_before_become_what_new_ones_would(blocks: list[list[tuple[str, str]]]) -> None:
    module._fields.clear()
    remembering = Keep({}), Keep({})
    fresh = Keep({})
    for block in blocks:
        made = [redact_headers(Headers(block), keep) for keep in remembering]  # two objects: read, and remembered
        module._fields.clear()
        assert made == [redact_headers(Headers(block), fresh)] * 2
    for keep in remembering:
        assert keep.found == fresh.found
        assert keep.words == fresh.words


def test_what_is_remembered_of_fields_is_bounded() -> None:
    for number in range(1100):
        redact_headers(Headers([("X-Api-Key", f"{number}"), ("Cookie", f"{number}" * 200)]), Keep({}))
    assert len(module._fields) <= 1024
    assert max(len(value) for _, value in module._fields) <= 512


@given(ANY)
def test_heads_that_are_big_are_not_kept(it: Passed) -> None:
    it.wire_bytes = 20_000
    module._blocks.clear()
    redact_passed(it)
    assert module._blocks == {}


@given(ANY)
def test_both_ways_give_one_row_and_one_set_of_secrets(it: Passed) -> None:
    exchange = it.exchange()
    assert passed_row(it) == loose_row(exchange)
    changes, secrets = redactions(exchange)
    again = replace(it)  # with the same fields, whose meaning is remembered by then
    found = redact_passed(it)
    assert passed_row(it) == loose_row(exchange, changes)
    assert found == secrets
    assert redact_passed(again) == secrets
    assert again == it
    assert it.exchange() == replace(exchange, **changes)
    assert redact_passed(it) == {}


def columns(path: Path) -> list[tuple[Any, ...]]:
    """All that was stored of the exchanges, what they share included."""
    with closing(sqlite3.connect(path)) as conn:
        return [
            row
            for table in ("exchanges", "headers", "contents", "connections")
            for row in conn.execute(f"SELECT * FROM {table} ORDER BY id")
        ]


@pytest.mark.parametrize("kind", [StoreApart, StoreInside])
@pytest.mark.parametrize("keep_secrets", [False, True])
async def test_both_ways_give_the_same_database(
    tmp_path: Path, kind: type[StoreApart | StoreInside], keep_secrets: bool
) -> None:
    given = [
        {},
        {"uid": "c1.2", "headers": Headers([("Authorization", f"Bearer {SECRET}")])},
        {"uid": "c1.3", "content": Content.of(b'{"password": "correct horse"}')},
        {"uid": "c1.4", "response_content": Content.of(b'{"x": "' + b"y" * 300_000 + b'"}')},  # big: cleaned beside
        {"uid": "c1.5", "response_content": Content(b'{"x": "y"}', 10, HASH_LATER)},
    ]
    response = passed(**given[-1]).exchange().response
    assert response is not None
    assert response.content == Content.of(b'{"x": "y"}')
    stored = []
    for way in ("flat", "whole"):
        path = tmp_path / f"{way}.db"
        store = await kind.open(path)
        await store.start_run(factories.run())
        recorder = Recorder(store, keep_secrets=keep_secrets)
        for values in given:
            ended: asyncio.Future[ScimproxyError | None] = asyncio.get_running_loop().create_future()
            if way == "flat":
                recorder.submit_passed(passed(**values), ended.set_result)
            else:
                recorder.submit(passed(**values).exchange(), ended.set_result)
            assert await ended is None
        await store.close()
        stored.append(columns(path))
    assert stored[0] == stored[1]


async def test_what_cannot_be_stored_is_told(tmp_path: Path) -> None:
    store = await StoreApart.open(tmp_path / "a.db")
    await store.start_run(factories.run())
    recorder = Recorder(store)
    ends: list[ScimproxyError | None] = []
    recorder.submit_passed(passed(ended=object()), ends.append)
    recorder.submit_passed(passed(), ends.append)
    await store.flush()
    assert isinstance(ends[0], StoreError)
    assert "cannot be stored" in str(ends[0])
    assert ends[1:] == [None]
    await store.close()
    recorder.submit_passed(passed(), ends.append)
    await asyncio.sleep(0)
    assert "closed" in str(ends[2])


async def test_what_may_pass_unrecorded_passes(tmp_path: Path) -> None:
    store = await StoreApart.open(tmp_path / "a.db")
    recorder = Recorder(store, pass_when_full=True)
    await store.close()
    store.last_error = StoreError("full")
    ends: list[ScimproxyError | None] = []
    recorder.submit_passed(passed(), ends.append)
    await asyncio.sleep(0)
    assert ends == [None]
    assert recorder.lost_count == 1
