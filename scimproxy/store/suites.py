"""The rows of suite runs: the run's outcome, its steps, their assertions, variables and scripts.

One rule: a step is written, whole, when it ends, so that an interrupted run keeps what it had. Writing goes through
the store's own thread like everything else; `SuiteRows` is the way in for the driver, `load_suite` the way out.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from scimproxy.store.known import require_run
from scimproxy.store.rows import from_iso, to_iso
from scimproxy.suite.results import AssertionResult, ScriptResult, StepResult, SuiteResult, VariableResult

if TYPE_CHECKING:
    from scimproxy.store.writer import Store

__all__ = ["StepMark", "SuiteRows", "delete_suite", "load_marks", "load_suite", "mark_before", "newest_mark"]

_SINCE = 2
"""The schema that brought these tables; older files are read, and hold no suites."""
_COMMAND_SINCE = 5
"""The schema that brought how a suite was run."""
_LONGEST = 16_384
"""Characters of a value or a text that are kept; the whole answer is in the exchange."""


class SuiteRows:
    """Writes the rows of one suite run; each call returns when its rows are committed."""

    def __init__(self, store: Store, run_id: int) -> None:
        self._store = store
        self._run_id = run_id

    def save(self, result: SuiteResult) -> None:
        """Write what is known of the whole run, again when it has ended; its steps are written by `add`.

        Raises:
            StoreError: it cannot be written.
        """
        self._store.transact(lambda conn: _save(conn, self._run_id, result))

    def add(self, step: StepResult) -> int:
        """Write a step that has ended; return its row's id.

        Raises:
            StoreError: it cannot be written.
        """
        return self._store.transact(lambda conn: _add(conn, self._run_id, step))


def _save(conn: sqlite3.Connection, run_id: int, result: SuiteResult) -> None:
    require_run(conn, run_id)
    conn.execute(
        "REPLACE INTO suites (run_id, result, description, environment, source, canceled, initial_variables,"
        " warnings, command, folder) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            run_id,
            result.result,
            _text(result.description),
            _text(result.environment),
            _maybe(result.source),
            _maybe(result.canceled),
            json.dumps([[name, value[:_LONGEST]] for name, value in result.initial_variables]),
            json.dumps(list(result.warnings)),
            json.dumps([_text(word) for word in result.command]) if result.command else None,
            _maybe(result.folder),
        ),
    )


def _add(conn: sqlite3.Connection, run_id: int, step: StepResult) -> int:
    require_run(conn, run_id)
    number = conn.execute(
        "INSERT INTO steps (run_id, number, step_type, result, note, method, url, status_code, response_time_ms,"
        " response_size_bytes, errors, not_supported, duration_s, started_at, exchange_id)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            run_id,
            step.number,
            _text(step.step_type),
            step.result,
            _text(step.note),
            _maybe(step.method),
            _maybe(step.url),
            step.status_code,
            step.response_time_ms,
            step.response_size_bytes,
            json.dumps([error[:_LONGEST] for error in step.errors]),
            step.not_supported,
            step.duration_s,
            None if step.started_at is None else to_iso(step.started_at),
            step.exchange_id,
        ),
    ).lastrowid
    assert number is not None
    conn.executemany(
        "INSERT INTO assertions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                number,
                it.number,
                it.result,
                _text(it.source),
                _text(it.comparison),
                _maybe(it.property),
                _json(it.target_value),
                _json(it.actual_value),
                _text(it.message),
                _maybe(it.error),
                _maybe(it.place),
            )
            for it in (replace(one, number=place) for place, one in enumerate(step.assertions))
        ],
    )
    conn.executemany(
        "INSERT INTO variables VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                number,
                place,
                it.result,
                _text(it.name),
                _text(it.source),
                _maybe(it.property),
                _json(it.value),
                _maybe(it.error),
            )
            for place, it in enumerate(step.variables)
        ],
    )
    conn.executemany(
        "INSERT INTO scripts VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (number, place, it.kind, it.result, _text(it.output), _maybe(it.error), it.duration_ms)
            for place, it in enumerate(step.scripts)
        ],
    )
    return number


@dataclass(frozen=True, slots=True)
class StepMark:
    """Which step of a suite made an exchange; `id` grows with every step that ends."""

    id: int
    run_id: int
    exchange_id: int | None
    number: str
    note: str
    result: str


def load_marks(
    cursor: sqlite3.Cursor,
    *,
    run_ids: Sequence[int],
    exchanges: Collection[int] | None = None,
    after: int | None,
    limit: int,
) -> list[StepMark]:
    """Read steps in short: those of some runs (of some exchanges alone), or with `after` those that ended since."""
    (version,) = cursor.execute("PRAGMA user_version").fetchone()
    if version < _SINCE:
        return []
    columns = "SELECT id, run_id, exchange_id, number, note, result FROM steps WHERE"
    if after is not None:
        rows = cursor.execute(f"{columns} id > ? ORDER BY id LIMIT ?", (after, limit)).fetchall()
    elif run_ids:
        marks = ", ".join("?" * len(run_ids))
        where, values = f"run_id IN ({marks})", list(run_ids)
        if exchanges:
            where, values = f"{where} AND exchange_id BETWEEN ? AND ?", [*values, min(exchanges), max(exchanges)]
        rows = cursor.execute(f"{columns} {where} ORDER BY id LIMIT ?", (*values, limit)).fetchall()
        if exchanges is not None:
            rows = [row for row in rows if row[2] in exchanges]
    else:
        rows = []
    return [StepMark(*row) for row in rows]


def newest_mark(cursor: sqlite3.Cursor) -> int:
    """Return the highest number of a step; 0 where there is none."""
    (version,) = cursor.execute("PRAGMA user_version").fetchone()
    if version < _SINCE:
        return 0
    return int(cursor.execute("SELECT coalesce(max(id), 0) FROM steps").fetchone()[0])


def mark_before(cursor: sqlite3.Cursor, seq: int) -> int:
    """Return the number before that of the first step whose exchange was written at this seq or later."""
    (version,) = cursor.execute("PRAGMA user_version").fetchone()
    if version < _SINCE:
        return 0
    sql = "SELECT min(s.id) FROM steps s JOIN exchanges e ON e.id = s.exchange_id WHERE e.seq >= ?"
    first = cursor.execute(sql, (seq,)).fetchone()[0]
    return newest_mark(cursor) if first is None else int(first) - 1


def load_suite(cursor: sqlite3.Cursor, run_id: int) -> SuiteResult | None:
    """Read a suite's run by a cursor that gives rows by name; None where the run has no suite's rows."""
    (version,) = cursor.execute("PRAGMA user_version").fetchone()
    if version < _SINCE:
        return None
    head = cursor.execute(
        "SELECT suites.*, runs.name, runs.target, runs.started_at, runs.ended_at FROM suites"
        " JOIN runs ON runs.id = suites.run_id WHERE run_id = ?",
        (run_id,),
    ).fetchone()
    if head is None:
        return None
    steps = cursor.execute("SELECT * FROM steps WHERE run_id = ? ORDER BY id", (run_id,)).fetchall()
    parts = {
        table: _by_step(
            cursor.execute(
                f"SELECT * FROM {table} WHERE step_id IN (SELECT id FROM steps WHERE run_id = ?)"  # noqa: S608 - ours
                " ORDER BY step_id, position",
                (run_id,),
            ).fetchall()
        )
        for table in ("assertions", "variables", "scripts")
    }
    return SuiteResult(
        name=head["name"],
        result=head["result"],
        steps=tuple(_step(row, parts) for row in steps),
        description=head["description"],
        environment=head["environment"],
        source=head["source"],
        target=head["target"],
        started_at=from_iso(head["started_at"]),
        ended_at=None if head["ended_at"] is None else from_iso(head["ended_at"]),
        canceled=head["canceled"],
        initial_variables=tuple((name, value) for name, value in json.loads(head["initial_variables"])),
        run_id=run_id,
        warnings=tuple(json.loads(head["warnings"])),
        command=tuple(json.loads(head["command"] or "[]")) if version >= _COMMAND_SINCE else (),
        folder=head["folder"] if version >= _COMMAND_SINCE else None,
    )


def delete_suite(conn: sqlite3.Connection, run_id: int) -> None:
    """Delete all rows of a suite's run, inside the caller's transaction."""
    for table in ("assertions", "variables", "scripts"):
        conn.execute(
            f"DELETE FROM {table} WHERE step_id IN (SELECT id FROM steps WHERE run_id = ?)",  # noqa: S608 - ours
            (run_id,),
        )
    conn.execute("DELETE FROM steps WHERE run_id = ?", (run_id,))
    conn.execute("DELETE FROM suites WHERE run_id = ?", (run_id,))


def _by_step(rows: list[sqlite3.Row]) -> dict[int, list[sqlite3.Row]]:
    found: dict[int, list[sqlite3.Row]] = {}
    for row in rows:
        found.setdefault(row["step_id"], []).append(row)
    return found


def _step(row: sqlite3.Row, parts: dict[str, dict[int, list[sqlite3.Row]]]) -> StepResult:
    number = row["id"]
    return StepResult(
        id=number,
        number=row["number"],
        step_type=row["step_type"],
        result=row["result"],
        note=row["note"],
        method=row["method"],
        url=row["url"],
        status_code=row["status_code"],
        response_time_ms=row["response_time_ms"],
        response_size_bytes=row["response_size_bytes"],
        errors=tuple(json.loads(row["errors"])),
        not_supported=bool(row["not_supported"]),
        duration_s=row["duration_s"],
        started_at=None if row["started_at"] is None else from_iso(row["started_at"]),
        exchange_id=row["exchange_id"],
        assertions=tuple(
            AssertionResult(
                result=it["result"],
                source=it["source"],
                comparison=it["comparison"],
                property=it["property"],
                target_value=_value(it["target_value"]),
                actual_value=_value(it["actual_value"]),
                message=it["message"],
                error=it["error"],
                place=it["place"],
                number=it["position"],
            )
            for it in parts["assertions"].get(number, ())
        ),
        variables=tuple(
            VariableResult(
                result=it["result"],
                name=it["name"],
                source=it["source"],
                property=it["property"],
                value=_value(it["value"]),
                error=it["error"],
            )
            for it in parts["variables"].get(number, ())
        ),
        scripts=tuple(
            ScriptResult(
                result=it["result"],
                kind=it["kind"],
                output=it["output"],
                error=it["error"],
                duration_ms=it["duration_ms"],
            )
            for it in parts["scripts"].get(number, ())
        ),
    )


def _json(value: Any) -> str:  # noqa: ANN401 - any value of JSON
    """Return a value as JSON; one that is long becomes the beginning of its JSON, as text."""
    text = json.dumps(value, default=str)
    return text if len(text) <= _LONGEST else json.dumps(text[:_LONGEST] + "…")


def _value(text: str) -> Any:  # noqa: ANN401 - as above
    return json.loads(text)


def _text(text: str) -> str:
    # A lone surrogate (JSON allows it) fits no column.
    return text[:_LONGEST].encode("utf-8", "backslashreplace").decode()


def _maybe(text: str | None) -> str | None:
    return None if text is None else _text(text)
