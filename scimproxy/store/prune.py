"""Removing old runs: what would go, taking it out of every table, giving the space back to the disk.

One rule: whole runs go, oldest first, and never one that is being recorded. Exchanges are removed in small
transactions beside a recorder; what only they used (contents, headers, certificates) goes in one at the end, because
a recorder may use it again in between.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scimproxy.store import derive
from scimproxy.store.bringing import bring_in, open_writer
from scimproxy.store.connecting import connect_reader, connect_upkeep, translated
from scimproxy.store.loading import Loader
from scimproxy.store.process import is_alive
from scimproxy.store.rows import from_iso
from scimproxy.store.suites import delete_suite

__all__ = ["Pruned", "prune"]

_STEP = 100
_VACUUM_PAGES = 500
_ROW_BYTES = 1000
"""About what an exchange takes besides its contents."""

type Progress = Callable[[Literal["exchanges", "bytes"], int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What went, or would go. `bytes` is an estimate in a dry run; sizes are of the file."""

    run_ids: tuple[int, ...]
    exchanges: int
    bytes: int
    size_before: int
    size_after: int
    dry_run: bool

    @property
    def runs(self) -> int:
        """How many runs."""
        return len(self.run_ids)


@dataclass(frozen=True, slots=True)
class _Weighed:
    id: int
    last_at: float
    exchanges: int
    bytes: int
    live: bool


def prune(
    path: Path | str,
    *,
    now: float,
    keep_days: float | None = None,
    keep_runs: int | None = None,
    max_size: int | None = None,
    only: Collection[int] = (),
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Pruned:
    """Remove old runs; a run goes when any condition says so, and one that is None says nothing.

    `keep_days`: those that ended longer ago. `keep_runs`: all but the newest so many. `max_size`: then the oldest
    ones until the file has at most so many bytes. `only`: these runs. A run that is being recorded stays.
    `now` is Unix seconds. `progress(what, done, total)` is told how far it is.

    Raises:
        StoreError: or a child: the database cannot be read or written.
    """
    path = Path(path)
    if not dry_run:
        # The newest schema, and all its refusals; and what a dead recording left belongs to runs that may go.
        writer = open_writer(path)
        with contextlib.closing(writer), translated(path):
            bring_in(writer)
    opened = connect_reader(path) if dry_run else None
    with translated(path), contextlib.closing(opened or connect_upkeep(path)) as conn:
        before = _size(conn)
        weighed = _weigh(conn)
        chosen = _choose(weighed, now=now, keep_days=keep_days, keep_runs=keep_runs, max_size=max_size)
        chosen += [run for run in weighed if run.id in only and not run.live and run not in chosen]
        # What was seen of a suite in a recording holds values of its answers: it goes with it.
        gone = {run.id for run in chosen}
        seen = {
            number
            for number, source in conn.execute("SELECT id, source_run_id FROM runs WHERE kind = 'suite'")
            if source in gone
        }
        chosen += [run for run in weighed if run.id in seen - gone and not run.live]
        # Pages that are free already go with the first prune that removes something.
        after = before - (_free(conn) + sum(run.bytes for run in chosen) if chosen else 0)
        if not dry_run and chosen:
            _remove(conn, chosen, progress)
            after = _shrink(conn, progress)
    return Pruned(
        run_ids=tuple(run.id for run in chosen),
        exchanges=sum(run.exchanges for run in chosen),
        bytes=max(0, before - after),
        size_before=before,
        size_after=after,
        dry_run=dry_run,
    )


def _size(conn: sqlite3.Connection) -> int:
    (pages,), (size,) = (conn.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size"))
    return int(pages * size)


def _free(conn: sqlite3.Connection) -> int:
    (pages,), (size,) = (conn.execute(f"PRAGMA {name}").fetchone() for name in ("freelist_count", "page_size"))
    return int(pages * size)


def _weigh(conn: sqlite3.Connection) -> list[_Weighed]:
    """Return all runs, oldest first, each with its share of the file."""
    # A content that several runs share is counted for the newest of them: it stays as long as that one does.
    weights = dict(
        conn.execute(
            "SELECT run_id, sum(length(data)) FROM (SELECT max(run_id) AS run_id, content_id FROM"
            " (SELECT run_id, request_content_id AS content_id FROM exchanges"
            " UNION ALL SELECT run_id, response_content_id FROM exchanges WHERE response_content_id IS NOT NULL)"
            " GROUP BY content_id) JOIN contents ON contents.id = content_id GROUP BY run_id"
        ).fetchall()
    )
    rows = conn.execute(
        "SELECT id, coalesce(ended_at, (SELECT started_at FROM exchanges e WHERE e.run_id = runs.id"
        " ORDER BY e.id DESC LIMIT 1), started_at), (SELECT count(*) FROM exchanges e WHERE e.run_id = runs.id),"
        " ended_at IS NULL, process FROM runs ORDER BY id"
    ).fetchall()
    raw = {number: weights.get(number, 0) + count * _ROW_BYTES for number, _, count, _, _ in rows}
    scale = (_size(conn) - _free(conn)) / max(1, sum(raw.values()))
    return [
        _Weighed(number, from_iso(last), count, int(raw[number] * min(scale, 4.0)), bool(going and is_alive(process)))
        for number, last, count, going, process in rows
    ]


def _choose(
    runs: list[_Weighed], *, now: float, keep_days: float | None, keep_runs: int | None, max_size: int | None
) -> list[_Weighed]:
    gone: dict[int, _Weighed] = {}
    free = [run for run in runs if not run.live]
    if keep_days is not None:
        gone.update((run.id, run) for run in free if run.last_at < now - keep_days * 86_400)
    if keep_runs is not None:
        kept = {run.id for run in sorted(runs, key=lambda run: run.id)[max(0, len(runs) - keep_runs) :]}
        gone.update((run.id, run) for run in free if run.id not in kept)
    if max_size is not None:
        left = sum(run.bytes for run in runs if run.id not in gone)
        for run in free:
            if left <= max_size:
                break
            if run.id not in gone:
                gone[run.id] = run
                left -= run.bytes
    return [run for run in runs if run.id in gone]


def _remove(conn: sqlite3.Connection, chosen: list[_Weighed], progress: Progress | None) -> None:
    total = sum(run.exchanges for run in chosen)
    (all_there_are,) = conn.execute("SELECT count(*) FROM exchanges").fetchone()
    # Taking an exchange out of the index costs as much as putting one in: for most of them, make it new instead.
    anew = total > all_there_are / 2
    conn.execute("PRAGMA foreign_keys = OFF")  # each delete would search all exchanges; _sweep looks once instead
    with _transaction(conn):
        conn.execute(
            "REPLACE INTO progress SELECT 'highest_id', max(coalesce(max(id), 0),"
            " coalesce((SELECT value FROM progress WHERE name = 'highest_id'), 0)) FROM exchanges"
            " UNION ALL SELECT 'highest_seq', max(coalesce(max(seq), 0),"
            " coalesce((SELECT value FROM progress WHERE name = 'highest_seq'), 0)) FROM exchanges"
        )
        if anew or derive.outdated(conn):
            derive.forget(conn)
    done = 0
    loader = Loader(conn)
    for run in chosen:
        while True:
            with _transaction(conn):
                ids = [
                    number
                    for (number,) in conn.execute(
                        "SELECT id FROM exchanges WHERE run_id = ? LIMIT ?", (run.id, _STEP)
                    )
                ]
                derive.remove(conn, loader, ids)
                marks = f"(?{', ?' * (len(ids) - 1)})"
                if ids:
                    conn.execute(f"DELETE FROM exchanges WHERE id IN {marks}", ids)  # noqa: S608 - question marks
            if not ids:
                break
            done += len(ids)
            if progress is not None:
                progress("exchanges", done, total)
    with _transaction(conn):
        _sweep(conn, [run.id for run in chosen])


def _sweep(conn: sqlite3.Connection, run_ids: list[int]) -> None:
    """Delete the runs, and what no exchange uses any more."""
    for run_id in run_ids:
        if conn.execute("SELECT 1 FROM exchanges WHERE run_id = ? LIMIT 1", (run_id,)).fetchone():
            continue  # something was added to it just now (an import): it stays
        conn.execute(
            "DELETE FROM connection_certificates"
            " WHERE connection_id IN (SELECT id FROM connections WHERE run_id = ?)",
            (run_id,),
        )
        conn.execute("DELETE FROM connections WHERE run_id = ?", (run_id,))
        conn.execute("DELETE FROM tunnel_events WHERE run_id = ?", (run_id,))
        delete_suite(conn, run_id)
        conn.execute("DELETE FROM shares WHERE run_id = ?", (run_id,))
        conn.execute("DELETE FROM runs WHERE id = ?", (run_id,))
    conn.execute(
        "DELETE FROM certificates WHERE sha256 NOT IN (SELECT certificate_sha256 FROM connection_certificates)"
    )
    conn.execute(
        "DELETE FROM contents WHERE id NOT IN (SELECT request_content_id FROM exchanges UNION"
        " SELECT response_content_id FROM exchanges WHERE response_content_id IS NOT NULL)"
    )
    used = " UNION ".join(
        f"SELECT {name} FROM exchanges WHERE {name} IS NOT NULL"  # noqa: S608 - literals below
        for name in (
            "request_headers_id",
            "request_trailers_id",
            "response_headers_id",
            "response_trailers_id",
            "upstream_request_headers_id",
            "upstream_response_headers_id",
        )
    )
    conn.execute(f"DELETE FROM headers WHERE id NOT IN ({used})")  # noqa: S608 - literals above


def _shrink(conn: sqlite3.Connection, progress: Progress | None) -> int:
    """Give free pages back to the disk, in steps; return the size of the file."""
    (page,) = conn.execute("PRAGMA page_size").fetchone()
    (total,) = conn.execute("PRAGMA freelist_count").fetchone()
    free = total
    while free:
        conn.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()
        (now_free,) = conn.execute("PRAGMA freelist_count").fetchone()
        if now_free >= free:
            break  # a recorder takes pages as fast, or the file is of a kind that cannot shrink
        free = now_free
        if progress is not None:
            progress("bytes", (total - free) * page, total * page)
    conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return _size(conn)


@contextlib.contextmanager
def _transaction(conn: sqlite3.Connection) -> Iterator[None]:
    conn.execute("BEGIN IMMEDIATE")
    try:
        yield
        conn.execute("COMMIT")
    except BaseException:
        conn.rollback()
        raise
