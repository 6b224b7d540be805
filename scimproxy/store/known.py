"""Whether there is such a run: asked in one way, since the writer's connection looks up no references."""

from __future__ import annotations

import sqlite3

from scimproxy.errors import StoreError

__all__ = ["no_run", "require_run"]


def require_run(conn: sqlite3.Connection, run_id: int) -> None:
    """Refuse rows of a run that is gone.

    Raises:
        StoreError: there is no such run.
    """
    if conn.execute("SELECT 1 FROM runs WHERE id = ?", (run_id,)).fetchone() is None:
        raise no_run(run_id)


def no_run(run_id: int | None) -> StoreError:
    """Return the error that says there is no such run, and where those are that there are."""
    return StoreError(f"there is no run {run_id}", hint="`scimproxy runs` lists them")
