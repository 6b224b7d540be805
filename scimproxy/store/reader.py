"""Reading the database: runs, exchanges in short and whole, what is new. Any number of readers, also while recording.

One rule: it writes nothing. Long listings are read in pages, so that no open read holds back the writer's checkpoint.
A Reader belongs to one thread at a time.
"""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from scimproxy.errors import StoreError
from scimproxy.exchange import Connection, Exchange, Failure, Run, TunnelEvent
from scimproxy.query import Query, parse_query
from scimproxy.store import derive
from scimproxy.store.bringing import settle
from scimproxy.store.connecting import connect_reader, translated
from scimproxy.store.derive import OPERATION_COLUMNS, operation_row
from scimproxy.store.loading import Loader
from scimproxy.store.rows import from_iso, run_from_row, tags_from_text, tunnel_event_from_row
from scimproxy.store.search import Found, Plan, compile_query, find
from scimproxy.store.suites import StepMark, load_marks, load_suite, mark_before, newest_mark
from scimproxy.suite.results import SuiteResult

if TYPE_CHECKING:
    from scimproxy.scim.message import Operation

__all__ = ["Reader", "Row"]

_PAGE = 500
_SHOWN = 100
_LOOKED_AT = 20
_MOST_STEPS = 20_000

ROW_SQL = """
SELECT e.id, e.seq, e.run_id, e.state, e.origin, e.method, e.target, e.scheme, e.host, e.status_code, e.reason,
  e.failure_kind, e.failure_message, e.failure_phase, e.failure_side, e.started_at, e.ended_at, e.total_ms,
  rc.size AS request_size, sc.size AS response_size, coalesce(e.client, o.client) AS client, e.client_address,
  e.attempts, e.ended, e.note, e.tags, e.uid, e.parent_id, o.exchange_id IS NOT NULL AS derived, o.kind, o.is_scim,
  o.resource_type, o.resource_id, o.resource_name, o.version, o.filter, o.summary
FROM exchanges e JOIN contents rc ON rc.id = e.request_content_id
LEFT JOIN contents sc ON sc.id = e.response_content_id LEFT JOIN operations o ON o.exchange_id = e.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An exchange in short, as lists show it. Sizes are bytes of content that travelled; times Unix seconds.

    `kind` to `summary` are the operation's (scim/message.py); `client` is the label of who called.
    """

    id: int
    seq: int
    run_id: int
    state: str
    origin: str | None
    method: str
    target: str
    scheme: str | None
    host: str | None
    status_code: int | None
    reason: str | None
    failure: Failure | None
    started_at: float
    ended_at: float | None
    total_ms: float | None
    request_size: int
    response_size: int | None
    client: str | None
    client_address: str | None
    attempts: int | None
    ended: str | None
    note: str | None
    tags: tuple[str, ...]
    uid: str | None
    parent_id: int | None
    kind: str
    is_scim: bool
    resource_type: str | None
    resource_id: str | None
    resource_name: str | None
    version: str | None
    filter: str | None
    summary: str

    @property
    def path(self) -> str:
        """The path of the target, still percent-encoded, without the query."""
        return self.target.partition("?")[0]


class Reader:
    """Reads a database; make it with `open`."""

    def __init__(self, path: Path, conn: sqlite3.Connection) -> None:
        self.path = path
        self._conn = conn
        self._cursor = conn.cursor()
        self._cursor.row_factory = sqlite3.Row
        self._loader = Loader(conn)
        self._data_version: int | None = None
        self._lock = threading.RLock()
        self.ended = False

    @classmethod
    def open(cls, path: Path | str) -> Reader:
        """Open a database for reading: while it is recorded to, as a copied file, or in a read-only folder.

        Raises:
            StoreError: or a child: there is none, it is damaged, not ours, or written by a newer scimproxy.
        """
        path = Path(path)
        reader = cls(path, connect_reader(path))
        reader.settle()
        return reader

    def settle(self) -> None:
        """Wait a moment for what a recorder beside it answered before now, and bring in what a dead one left."""
        with self._lock, translated(self.path):
            settle(self.path, self._conn)

    working: Callable[[int], None] | None = None
    """Told how many exchanges are done while a query has to wait for derived rows; for a person at a terminal."""

    catches_up = True
    """Whether a query makes the derived rows that are missing; without, it looks at those exchanges one by one, and
    a recorder beside it never waits for our lock."""

    enough: Callable[[int], bool] | None = None
    """Told the id of what was just looked at in a search; once it says yes, the search gives no more."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database. Safe to call twice."""
        with self._lock:
            self._conn.close()

    def interrupt(self) -> None:
        """End what another thread reads at this moment or would read after it: StoreError is raised there."""
        self.ended = True
        with contextlib.suppress(sqlite3.ProgrammingError):  # it is closed already
            self._conn.interrupt()

    # --- runs ---

    def runs(self, *, newest_first: bool = False) -> list[Run]:
        """Return all runs with their number of exchanges, oldest first."""
        order = "DESC" if newest_first else "ASC"
        counts = dict(self._all("SELECT run_id, count(*) FROM exchanges GROUP BY run_id"))
        rows = self._all(f"SELECT * FROM runs ORDER BY id {order}")  # noqa: S608 - one of two words
        return [run_from_row(row, counts.get(row["id"], 0)) for row in rows]

    def run(self, which: int | Literal["last"], *, count_to: int | None = None) -> Run | None:
        """Return a run by its id, or the newest one; None where there is none.

        `count_to`: of a run with more exchanges than these the number is left open, and they are not all read.
        """
        if which == "last":
            rows = self._all("SELECT * FROM runs ORDER BY id DESC LIMIT 1")
        else:
            rows = self._all("SELECT * FROM runs WHERE id = ?", (which,))
        if not rows:
            return None
        if count_to is None:
            ((count,),) = self._all("SELECT count(*) FROM exchanges WHERE run_id = ?", (rows[0]["id"],))
            return run_from_row(rows[0], count)
        sql = "SELECT count(*) FROM (SELECT 1 FROM exchanges WHERE run_id = ? LIMIT ?)"
        ((count,),) = self._all(sql, (rows[0]["id"], count_to + 1))
        return run_from_row(rows[0], None if count > count_to else count)

    def run_page(self, *, before: int | None = None, limit: int = 50) -> list[Run]:
        """Return runs, newest first, without their number of exchanges: counting reads a whole run."""
        rows = self._all(
            "SELECT * FROM runs WHERE id < ? ORDER BY id DESC LIMIT ?",
            (2**63 - 1 if before is None else before, limit),
        )
        return [run_from_row(row) for row in rows]

    def tunnel_events(self, run_id: int) -> list[TunnelEvent]:
        """Return what became of the tunnel of a run, oldest first."""
        return [
            tunnel_event_from_row(row)
            for row in self._all("SELECT * FROM tunnel_events WHERE run_id = ? ORDER BY id", (run_id,))
        ]

    def suite(self, run_id: int) -> SuiteResult | None:
        """Return how the suite of a run came out, with its steps so far; None where the run is no suite's."""
        with self._reading():
            return load_suite(self._cursor, run_id)

    def marks(
        self,
        *,
        run_ids: Sequence[int] = (),
        exchanges: Collection[int] | None = None,
        after: int | None = None,
        limit: int = _PAGE,
    ) -> list[StepMark]:
        """Return which steps made which exchanges: those of some runs, or those that ended after a step's number.

        `exchanges`: of these alone.
        """
        with self._reading():
            return load_marks(self._cursor, run_ids=run_ids, exchanges=exchanges, after=after, limit=limit)

    def suite_results(self, run_ids: Sequence[int]) -> dict[int, str]:
        """Return how suites' runs came out, by run, without their steps."""
        if not run_ids:  # older files have no such table
            return {}
        wanted = ", ".join("?" * len(run_ids))
        sql = f"SELECT run_id, result FROM suites WHERE run_id IN ({wanted})"  # noqa: S608 - ours
        return {row["run_id"]: row["result"] for row in self._all(sql, tuple(run_ids))}

    def seen_in(self, run_ids: Sequence[int]) -> list[Run]:
        """Return the suites' runs of others that were recognised in recordings, oldest first."""
        wanted = ", ".join("?" * len(run_ids))
        sql = f"SELECT * FROM runs WHERE kind = 'suite' AND source_run_id IN ({wanted}) ORDER BY id"  # noqa: S608 - ours
        return [run_from_row(row) for row in self._all(sql, tuple(run_ids))]

    def newest_mark(self) -> int:
        """Return the number of the step that ended last; 0 where there is none."""
        with self._reading():
            return newest_mark(self._cursor)

    def mark_before(self, seq: int) -> int:
        """Return the number of the last step that is known to whoever knows all writes before this one."""
        with self._reading():
            return mark_before(self._cursor, seq)

    def connections(self, run_id: int) -> list[Connection]:
        """Return the connections of a run, in the order they were first seen."""
        with self._reading():
            return self._loader.connections(run_id)

    # --- exchanges ---

    def exchange(self, exchange_id: int) -> Exchange | None:
        """Return a whole exchange; None where there is none."""
        found = self.whole([exchange_id])
        return found[0] if found else None

    def whole(self, ids: Sequence[int], *, with_connections: bool = True) -> list[Exchange]:
        """Return the whole exchanges with these ids that exist, in their order."""
        with self._reading():
            return self._loader.exchanges(ids, with_connections=with_connections)

    def all_whole(self, run_id: int, *, with_connections: bool = True) -> Iterator[Exchange]:
        """Give all exchanges of a run, whole, in order; a few are in memory at a time.

        Of a suite's run that was seen in a recording: those that its steps name.
        """
        after = 0
        while ids := [
            row["id"]
            for row in self._all(
                "SELECT id FROM exchanges WHERE run_id = ? AND id > ? ORDER BY id LIMIT 50", (run_id, after)
            )
        ]:
            yield from self.whole(ids, with_connections=with_connections)
            after = ids[-1]
        if not after and self._all("SELECT 1 FROM runs WHERE id = ? AND source_run_id IS NOT NULL", (run_id,)):
            named = {mark.exchange_id for mark in self.marks(run_ids=[run_id], limit=_MOST_STEPS)} - {None}
            for page in itertools.batched(sorted(one for one in named if one is not None), 50):
                yield from self.whole(page, with_connections=with_connections)

    def exchanges(
        self,
        run_id: int | None = None,
        query: Query | None = None,
        *,
        after: int | None = None,
        before: int | None = None,
        among: Sequence[int] | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> Iterator[Row]:
        """Give exchanges in short, by id; `after` and `before` (ids) are not themselves included; `among`: of these.

        A query about text or operations first has the derived rows made that are missing, where the file can be
        written; else it looks at those exchanges one by one.
        """
        plan = compile_query(query or Query())
        if self.catches_up and (plan.needs_derived or plan.match is not None):
            self.catch_up(self.working)
        candidates = find(
            plan, self._all, run_id=run_id, after=after, before=before, among=among, newest_first=newest_first
        )
        if query is not None and (plan.words.terms or plan.needs_derived):
            ids: Iterator[int] = self._verified(candidates, query, plan)
        else:
            ids = (found.id for found in candidates)
        for page in itertools.batched(itertools.islice(ids, limit), _SHOWN):
            rows = {row.id: row for row in self._rows(f"{ROW_SQL} WHERE e.id IN (?{', ?' * (len(page) - 1)})", page)}
            yield from (rows[number] for number in page if number in rows)

    def search(
        self, what: str | Query, run_id: int | None = None, *, limit: int | None = 100, newest_first: bool = True
    ) -> Iterator[Row]:
        """Give what a text in the query language means, newest first.

        Raises:
            SyntaxProblem: the text does not parse.
        """
        query = parse_query(what) if isinstance(what, str) else what
        return self.exchanges(run_id, query, limit=limit, newest_first=newest_first)

    def catch_up(self, progress: Callable[[int], None] | None = None) -> bool:
        """Make missing derived rows, in small transactions; return whether none is missing (any more).

        `progress` is told how many exchanges are done. False: the file cannot be written, or another process
        holds it.
        """
        with self._reading():
            if not derive.behind(self._conn):
                return True
        try:
            with translated(self.path):
                return derive.catch_up(self.path, progress)
        except StoreError:
            return False

    def changes(self, *, after: int, limit: int = _PAGE, run_id: int | None = None) -> list[Row]:
        """Return exchanges written since the write with number `after`, in the order of writes.

        An exchange comes again when it is written again (pending, then complete); none is missed.
        """
        where = "WHERE e.seq > ?" if run_id is None else "WHERE e.seq > ? AND +e.run_id = ?"
        values: tuple[int, ...] = (after,) if run_id is None else (after, run_id)
        return self._rows(f"{ROW_SQL} {where} ORDER BY e.seq LIMIT ?", (*values, limit))

    def data_version(self) -> int:
        """Return a number that differs after every commit of others."""
        ((version,),) = self._all("PRAGMA data_version")
        return int(version)

    def newest_seq(self) -> int:
        """Return the number of the newest write; 0 where there is none."""
        ((seq,),) = self._all("SELECT coalesce(max(seq), 0) FROM exchanges")
        return int(seq)

    @overload
    def operation(self, exchange: int) -> Operation | None: ...
    @overload
    def operation(self, exchange: Exchange) -> Operation: ...
    def operation(self, exchange: int | Exchange) -> Operation | None:
        """Return what an exchange means, in full; None where there is no such exchange."""
        from scimproxy.scim.message import operation_of  # noqa: PLC0415 - keeps it out of programs that list runs

        found = self.exchange(exchange) if isinstance(exchange, int) else exchange
        return None if found is None else operation_of(found)

    def outcomes(self, run_id: int) -> list[tuple[str, bool, int]]:
        """Return what became of a run's exchanges: the status (or kind of failure, or state), if it failed, how many.

        A status that the proxy made in place of an answer has a `!`.
        """
        rows = self._all(
            "SELECT CASE WHEN status_code IS NULL THEN coalesce(failure_kind, state)"
            " ELSE status_code || iif(failure_kind IS NULL, '', '!') END AS word,"
            " failure_kind IS NOT NULL AS failed, count(*) AS number"
            " FROM exchanges WHERE run_id = ? GROUP BY 1, 2 ORDER BY 1, 2",
            (run_id,),
        )
        return [(row["word"], bool(row["failed"]), row["number"]) for row in rows]

    # --- inside ---

    def _verified(self, candidates: Iterator[Found], query: Query, plan: Plan) -> Iterator[int]:
        """Give the candidates that the query really means."""
        for page in itertools.batched(candidates, _LOOKED_AT):
            derived = {found.id: found.derived for found in page}
            if not plan.words.terms and all(derived.values()):
                yield from derived
                continue
            for exchange in self.whole(list(derived), with_connections=False):
                assert exchange.id is not None
                if derived[exchange.id]:
                    if plan.words.matches(exchange):
                        yield exchange.id
                elif query.matches(exchange, self.operation(exchange)):
                    yield exchange.id
            if self.enough is not None and self.enough(page[-1].id):
                return

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Read: one thread at a time, SQLite's errors translated, nothing kept from before foreign writes."""
        with self._lock, translated(self.path):
            if self.ended:
                raise StoreError("reading was ended")
            (version,) = self._conn.execute("PRAGMA data_version").fetchone()
            if version != self._data_version:
                self._data_version = version
                self._loader.forget()
            yield

    def _all(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._reading():
            return self._cursor.execute(sql, values).fetchall()

    def _rows(self, sql: str, values: Sequence[Any]) -> list[Row]:
        with self._reading():
            return self.to_rows(self._cursor.execute(sql, values).fetchall())

    def to_rows(self, found: Sequence[sqlite3.Row]) -> list[Row]:
        """Return the short form of rows of ROW_SQL; what is not derived yet is derived here, and not kept."""
        late = [row["id"] for row in found if not row["derived"]]
        fresh = {
            exchange.id: dict(zip(OPERATION_COLUMNS, operation_row(exchange), strict=True))
            for exchange in self._loader.begun(late)
        }
        return [_to_row(row, row if row["derived"] else fresh[row["id"]]) for row in found]


def _to_row(row: sqlite3.Row, derived: sqlite3.Row | dict[str, Any]) -> Row:
    failure = None
    if row["failure_kind"] is not None:
        failure = Failure(row["failure_kind"], row["failure_message"], row["failure_phase"], row["failure_side"])
    return Row(
        id=row["id"],
        seq=row["seq"],
        run_id=row["run_id"],
        state=row["state"],
        origin=row["origin"],
        method=row["method"],
        target=row["target"],
        scheme=row["scheme"],
        host=row["host"],
        status_code=row["status_code"],
        reason=row["reason"],
        failure=failure,
        started_at=from_iso(row["started_at"]),
        ended_at=None if row["ended_at"] is None else from_iso(row["ended_at"]),
        total_ms=row["total_ms"],
        request_size=row["request_size"],
        response_size=row["response_size"],
        client=row["client"] if row["client"] is not None else derived["client"],
        client_address=row["client_address"],
        attempts=row["attempts"],
        ended=row["ended"],
        note=row["note"],
        tags=tags_from_text(row["tags"]),
        uid=row["uid"],
        parent_id=row["parent_id"],
        kind=derived["kind"],
        is_scim=bool(derived["is_scim"]),
        resource_type=derived["resource_type"],
        resource_id=derived["resource_id"],
        resource_name=derived["resource_name"],
        version=derived["version"],
        filter=derived["filter"],
        summary=derived["summary"],
    )
