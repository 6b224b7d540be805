"""Writing runs: each function is called in the writer's thread, inside its transaction."""

from __future__ import annotations

import sqlite3

from scimproxy.errors import StoreError
from scimproxy.exchange import Run
from scimproxy.store.known import no_run
from scimproxy.store.rows import RUN_COLUMNS, run_row, to_iso
from scimproxy.store.suites import delete_suite

__all__ = ["delete_run", "finish_run", "insert_run", "update_run"]

_INSERT = (
    f"INSERT INTO runs ({', '.join(RUN_COLUMNS)}, process) "  # noqa: S608 - our own column names
    f"VALUES (?{', ?' * len(RUN_COLUMNS)})"
)
_UPDATE = f"UPDATE runs SET {', '.join(f'{name} = ?' for name in RUN_COLUMNS)} WHERE id = ?"  # noqa: S608 - as above


def insert_run(conn: sqlite3.Connection, run: Run, process: str) -> int:
    """Store a run of that process; return its id."""
    number = conn.execute(_INSERT, (*run_row(run), process)).lastrowid
    assert number is not None
    return number


def update_run(conn: sqlite3.Connection, run: Run) -> None:
    """Store all fields of a run.

    Raises:
        StoreError: there is no such run.
    """
    if not conn.execute(_UPDATE, (*run_row(run), run.id)).rowcount:
        raise no_run(run.id)


def finish_run(conn: sqlite3.Connection, run_id: int, ended_at: float, lost: int | None) -> None:
    """Store the end of a run.

    Raises:
        StoreError: there is no such run.
    """
    sql = "UPDATE runs SET ended_at = ?, lost = coalesce(?, lost) WHERE id = ?"
    if not conn.execute(sql, (to_iso(ended_at), lost, run_id)).rowcount:
        raise no_run(run_id)


def delete_run(conn: sqlite3.Connection, run_id: int) -> None:
    """Delete a run that made no exchanges, with its connections and events.

    Raises:
        StoreError: there is no such run, or exchanges belong to it.
    """
    if conn.execute("SELECT 1 FROM exchanges WHERE run_id = ? LIMIT 1", (run_id,)).fetchone():
        raise StoreError(f"run {run_id} holds exchanges", hint="`scimproxy prune` removes runs")
    conn.execute(
        "DELETE FROM connection_certificates WHERE connection_id IN (SELECT id FROM connections WHERE run_id = ?)",
        (run_id,),
    )
    conn.execute("DELETE FROM connections WHERE run_id = ?", (run_id,))
    conn.execute("DELETE FROM tunnel_events WHERE run_id = ?", (run_id,))
    delete_suite(conn, run_id)
    if not conn.execute("DELETE FROM runs WHERE id = ?", (run_id,)).rowcount:
        raise no_run(run_id)
