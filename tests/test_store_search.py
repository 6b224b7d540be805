"""Queries and the search index: SQL agrees with Query.matches; derived rows can be deleted and made again; prune."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from factories import T0, connection, exchange, request, response, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scimproxy.errors import StoreError, SyntaxProblem
from scimproxy.exchange import Certificate, Exchange, Failure, Headers, Rewrite, Timings, Tls
from scimproxy.query import parse_query
from scimproxy.scim.message import operation_of
from scimproxy.store import Pruned, Reader, Store, derive, prune
from scimproxy.store.search import SCANNED, compile_query

USER = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "bjensen", "id": "ÄÖ-1"}
ANSWERS = [
    response(200, USER),
    response(404, {"detail": "Not Found"}),
    response(500, "Straße xyz", headers={"Content-Type": "text/plain; charset=utf-8"}),
    response(204),
    None,
]
TARGETS = [
    "/scim/v2/Users",
    "/scim/v2/Users/ÄÖ-1?x=/Groups",
    "/scim/v2/Groups/7",
    "/",
    '/Users?filter=userName eq "bjensen"',
]


def some_exchanges() -> st.SearchStrategy[Exchange]:
    def build(
        method: str, target: str, answer: int, failed: bool, total: float | None, label: str | None, mark: int
    ) -> Exchange:
        marks = {
            0: {},
            1: {"note": "n", "tags": ("Bug", "ä")},
            2: {"attempts": 2, "rewrites": (Rewrite("a", "b", "c"),)},
            3: {"host": None, "origin": "mock", "attempts": None},
        }
        return exchange(
            request=request(
                method, target, body=USER if method in {"POST", "PUT"} else b"", headers={"User-Agent": "curl/8"}
            ),
            response=ANSWERS[answer],
            failure=Failure("timeout", "late", "wait") if failed else None,
            timings=Timings(total=total),
            client=label,
            **marks[mark],
        )

    return st.builds(
        build,
        st.sampled_from(["GET", "POST", "PUT", "delete", "PATCH"]),
        st.sampled_from(TARGETS),
        st.integers(0, 4),
        st.booleans(),
        st.sampled_from([None, 0.5, 500.0, 2500.0]),
        st.sampled_from([None, "okta", "Entra"]),
        st.integers(0, 3),
    )


TERMS = [
    "method:post", "method:GET,delete", "status:4xx", "status:>=500", "status:200-299", "path:/users", "path:ÄÖ", "path:äö",
    "path:x=", "host:SCIM", "op:create", "op:list,delete", "type:user", "user:bjensen", "user:ÄÖ", "client:curl",
    "client:okta,entra", "run:1", "run:99", "failure:timeout", "failure:dns", "has:failure", "has:note", "has:retry",
    "has:rewrite,tag", "has:response", "is:error", "is:mock", "is:scim", "is:complete", "is:pending,aborted", "tag:bug",
    "slower:400ms", "faster:1s", "faster:500ms", "bjensen", "STRASSE", "straße", "xy", "Not", '"not found"', "äö-1",
    "urn:ietf:params:scim", "zzz", '"', "curl/8",
]  # fmt: skip
TERMS.remove('"')
queries = st.lists(st.tuples(st.booleans(), st.sampled_from(TERMS)), min_size=1, max_size=3).map(
    lambda terms: " ".join(("-" if negated else "") + term for negated, term in terms)
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    st.lists(some_exchanges(), min_size=1, max_size=12), st.lists(queries, min_size=5, max_size=15), st.integers(0, 3)
)
def test_sql_means_what_the_query_means(
    tmp_path_factory: pytest.TempPathFactory, many: list[Exchange], texts: list[str], late: int
) -> None:
    db = tmp_path_factory.mktemp("agree") / "s.db"
    with Store.open(db) as store, Reader.open(db) as reader:
        store._writer.derives = False
        store.start_run(run())
        for one in many[: len(many) - late]:
            store.add(one)
        reader.catch_up()
        for one in many[len(many) - late :]:
            store.add(one)
        if late:
            store.pending(replace(many[0], state="pending"))
            store.flush()
        for can_catch_up in (False, True):
            if not can_catch_up:
                reader.catch_up = lambda _=None: False  # type: ignore[method-assign]  # as in a read-only folder
            else:
                del reader.catch_up
            stored = reader.whole(range(1, len(many) + 2))
            for text in texts:
                query = parse_query(text)
                wanted = [one.id for one in stored if query.matches(one, operation_of(one))]
                assert [row.id for row in reader.exchanges(query=query)] == wanted, text
                newest = [row.id for row in reader.search(text, limit=3)]
                assert newest == wanted[::-1][:3], text


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "s.db"


def test_listings_are_paged_and_bounded(db: Path) -> None:
    with Store.open(db) as store, Reader.open(db) as reader:
        first, second = store.start_run(run()), store.start_run(run())
        for index in range(700):
            store.submit(exchange(run_id=first.id if index % 2 else second.id, target=f"/Users/{index}"))
        store.flush()
        assert [row.id for row in reader.exchanges()] == list(range(1, 701))
        assert [row.id for row in reader.exchanges(newest_first=True, limit=3)] == [700, 699, 698]
        assert [row.id for row in reader.exchanges(second.id, after=10, before=20)] == [11, 13, 15, 17, 19]
        assert [row.path for row in reader.search("Users/69", limit=None)] == [
            *(f"/Users/{n}" for n in range(699, 689, -1)),
            "/Users/69",
        ]
        assert first.id is not None
        assert [one.id for one in reader.all_whole(first.id)] == list(range(2, 701, 2))
        with pytest.raises(SyntaxProblem):
            reader.search("nosuchterm:1")


def test_short_words_are_looked_for_among_the_newest(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scimproxy.store.search.SCANNED", 5)
    with Store.open(db) as store, Reader.open(db) as reader:
        store.start_run(run())
        for index in range(10):
            store.add(exchange(target=f"/qx{index}"))
        assert [row.id for row in reader.search("qx")] == [10, 9, 8, 7, 6]
        assert len(list(reader.search("qx0"))) == 1
        assert SCANNED >= 1000


def test_derived_rows_are_made_again(db: Path) -> None:
    with Store.open(db) as store, Reader.open(db) as reader:
        store.start_run(run())
        store.add(exchange("POST", body=USER, answer=USER))
        store._writer.derives = False
        before = [row.summary for row in reader.search("bjensen op:create")]
        store.rederive()
        told: list[int] = []
        assert reader.catch_up(told.append)
        assert told == [1]
        assert [row.summary for row in reader.search("bjensen op:create")] == before == ["Create User bjensen"]
        with contextlib.closing(sqlite3.connect(db)) as conn:
            conn.execute("UPDATE progress SET value = 0 WHERE name = 'derive_version'")
            conn.commit()
        store.add(exchange("DELETE", "/Users/1"))
        assert [row.id for row in reader.search("users")] == [2, 1]
        operation = reader.operation(1)
        assert operation is not None and operation.kind == "create"
        assert reader.operation(77) is None


def test_a_step_that_takes_long_ends_early_and_leaves_nothing_out(db: Path) -> None:
    with Store.open(db) as store, Reader.open(db) as reader:
        store.start_run(run())
        store._writer.derives = False
        for number in range(4):
            store.add(exchange(target=f"/qx{number}"))
        store.pending(exchange(target="/qx4", state="pending"))
        store.flush()
        with contextlib.closing(sqlite3.connect(db, isolation_level=None)) as conn:
            counts = []
            while not counts or counts[-1]:
                counts.append(derive.step(conn, 3, within_s=0.0))
                (made,) = conn.execute("SELECT count(*) FROM operations").fetchone()
                assert made == min(sum(counts), 4)
        assert counts == [1, 1, 1, 1, 1, 0]
        assert len(list(reader.search("qx"))) == 5


def test_big_contents_are_compressed_later_and_come_out_whole(db: Path) -> None:
    with Store.open(db) as store, Reader.open(db) as reader:
        store.start_run(run())
        big = exchange(answer={"Resources": [USER] * 200})
        noise = exchange(request=request("POST", body=bytes(range(256)) * 20))
        ids = [store.add(big), store.add(noise)]
        before = reader.whole(ids)
        reader.catch_up()
        with contextlib.closing(sqlite3.connect(db)) as conn:
            kept = conn.execute(
                "SELECT encoding, length(data), stored_size FROM contents WHERE stored_size > 4096"
            ).fetchall()
        assert all(encoding == "zlib" and length < size / 5 for encoding, length, size in kept)
        assert reader.whole(ids) == [replace(one, client=None) for one in before] or reader.whole(ids) == before


def test_a_filter_without_text_reads_no_contents_and_a_listing_no_more_than_it_shows(db: Path) -> None:
    """The plans that keep 200,000 exchanges fast: no sort, no scan of a table of long rows."""
    with Store.open(db) as store:
        store.start_run(run())
    from scimproxy.store.search import find

    seen: list[str] = []

    def explain(sql: str, values: object) -> list[object]:
        with contextlib.closing(sqlite3.connect(db)) as conn:
            seen.extend(row[3] for row in conn.execute(f"EXPLAIN QUERY PLAN {sql}", values))  # type: ignore[arg-type]  # a list
        return []

    for text in ("", "status:5xx", "op:patch", "bjensen", "bjensen status:4xx"):
        for newest_first in (True, False):
            list(
                find(
                    compile_query(parse_query(text)),
                    explain,
                    run_id=1,
                    after=None,
                    before=None,
                    newest_first=newest_first,
                )
            )
    plans = "\n".join(seen)
    assert "TEMP B-TREE FOR ORDER BY" not in plans
    assert "contents" not in plans and "headers" not in plans
    assert "exchanges_by_run" in plans
    assert "VIRTUAL TABLE" in plans
    with contextlib.closing(sqlite3.connect(db)) as conn:
        (plan,) = conn.execute(
            "EXPLAIN QUERY PLAN SELECT * FROM exchanges WHERE seq > 5 ORDER BY seq LIMIT 5"
        ).fetchall()
        assert "exchanges_by_seq" in plan[3]


# --- prune ---


def filled(db: Path) -> None:
    """Four runs of 30 exchanges with a body of their own and one that all share; a day apart."""
    leaf = Certificate("cd" * 32, "CN=a", "CN=b", ("a",), T0, T0 + 1)
    with Store.open(db) as store:
        for day in range(4):
            begun = store.start_run(run(started_at=T0 + day * 86_400))
            assert begun.id is not None
            chained = connection("upstream", tls=Tls(chain=(replace(leaf, sha256=f"{day:064}"),)))
            for index in range(30):
                own = bytes(range(256)) * 20 + f"run{day} number{index}".encode()
                store.submit(
                    exchange(
                        "PUT",
                        f"/scim/v2/run{day}/{index}",
                        body=own,
                        answer={"shared": "x" * 9000},
                        upstream_connection=chained,
                    )
                )
            store.finish_run(begun.id, ended_at=T0 + day * 86_400 + 60)


def orphans(db: Path) -> list[int]:
    used = "(SELECT request_{0}_id FROM exchanges UNION SELECT response_{0}_id FROM exchanges)"
    chains = "(SELECT certificate_sha256 FROM connection_certificates)"
    questions = (
        f"contents WHERE id NOT IN {used.format('content')}",
        f"headers WHERE id NOT IN {used.format('headers')}",
        "connections WHERE run_id NOT IN (SELECT id FROM runs)",
        f"certificates WHERE sha256 NOT IN {chains}",
        "operations WHERE exchange_id NOT IN (SELECT id FROM exchanges)",
        "search_index WHERE search_index MATCH '\"/sc\"' AND rowid NOT IN (SELECT id FROM exchanges)",
        "pragma_foreign_key_check",
    )
    with contextlib.closing(sqlite3.connect(db)) as conn:
        assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [conn.execute(f"SELECT count(*) FROM {question}").fetchone()[0] for question in questions]


@pytest.mark.parametrize(
    ("conditions", "gone"),
    [
        ({"keep_days": 1.5}, (1, 2)),
        ({"keep_runs": 3}, (1,)),
        ({"keep_runs": 0}, (1, 2, 3, 4)),
        ({"keep_runs": 9}, ()),
        ({"max_size": 10**9}, ()),
        ({"max_size": 0}, (1, 2, 3, 4)),
        ({"keep_days": 2.5, "keep_runs": 1}, (1, 2, 3)),
        ({}, ()),
    ],
)
def test_prune_removes_whole_runs_and_shrinks_the_file(
    db: Path, conditions: dict[str, float], gone: tuple[int, ...]
) -> None:
    filled(db)
    size = db.stat().st_size
    now = T0 + 3 * 86_400 + 3600
    told: list[tuple[str, int, int]] = []
    with Reader.open(db) as reader:
        reader.catch_up()
        plan = prune(db, now=now, dry_run=True, **conditions)  # type: ignore[arg-type]  # the table above
        assert (plan.run_ids, plan.exchanges, plan.runs) == (gone, 30 * len(gone), len(gone))
        assert len(reader.runs()) == 4
        done = prune(db, now=now, progress=lambda *step: told.append(step), **conditions)  # type: ignore[arg-type]  # as above
        assert done.run_ids == gone and not done.dry_run
        left = [one.id for one in reader.runs()]
        assert left == [number for number in (1, 2, 3, 4) if number not in gone]
        assert orphans(db) == [0] * 7
        for day in range(4):
            found = list(reader.search(f"run{day}/", limit=None))
            assert len(found) == (0 if day + 1 in gone else 30)
    if gone:
        assert db.stat().st_size < size - 80_000 * len(gone)
        assert abs(done.bytes - plan.bytes) < size / 4
        assert {what for what, _, _ in told} == {"exchanges", "bytes"}
        assert [step for step in told if step[0] == "exchanges"][-1][1:] == (30 * len(gone), 30 * len(gone))
    with Store.open(db) as store:  # numbers are not given again
        assert store.start_run(run()).id == 5
        assert store.add(exchange()) == 121
        with Reader.open(db) as reader:
            assert reader.newest_seq() == 121


def test_prune_beside_a_recorder_leaves_its_run_alone(db: Path) -> None:
    filled(db)
    with Store.open(db) as store:
        begun = store.start_run(run(started_at=T0))
        assert store.add(exchange(answer={"shared": "x" * 9000})) == 121
        done = prune(db, now=T0 + 10**8, keep_days=0, keep_runs=0, max_size=0)
        assert done.run_ids == (1, 2, 3, 4)
        # What the recorder remembers of shared rows is gone; it notices.
        number = store.add(
            exchange(body="number3", answer={"shared": "x" * 9000}, upstream_connection=connection("upstream"))
        )
        assert number == 122
        store.flush()
        with Reader.open(db) as reader:
            (only,) = reader.runs()
            assert (only.id, only.exchange_count) == (begun.id, 2)
            one = reader.exchange(number)
            assert one is not None and one.response is not None
            assert one.response.content.size == 9014
            assert one.response.headers == Headers(exchange(answer={"shared": "x" * 9000}).response.headers)  # type: ignore[union-attr]  # it has one
    assert orphans(db) == [0] * 7


def test_prune_of_nothing_says_so(db: Path) -> None:
    with pytest.raises(StoreError, match="there is no database"):
        prune(db, now=T0, keep_runs=0)
    Store.open(db).close()
    assert prune(db, now=T0, keep_runs=0) == Pruned(
        run_ids=(), exchanges=0, bytes=0, size_before=db.stat().st_size, size_after=db.stat().st_size, dry_run=False
    )
