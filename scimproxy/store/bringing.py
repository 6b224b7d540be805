"""What a recording left in its ahead file when all of it died: brought into the database by who opens that next.

One rule: once and whole. A file is taken only when nobody holds it any more, what is in it goes into the database
in one transaction with the number of its entry, and it is removed after that; one of which something could not be
brought in gets another name instead, for it is the only copy. Where the database cannot be written the file stays,
and a message says how many exchanges are in it. Beside a recording that lives a reader waits here a
moment, so that it finds what was answered before it came.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from concurrent.futures import Future
from pathlib import Path

from scimproxy.amounts import plural
from scimproxy.errors import StoreError
from scimproxy.store import ahead
from scimproxy.store.connecting import connect_writer, translated
from scimproxy.store.rows import RUN_PLACE
from scimproxy.store.writing import GROUP, IDENTITY, Item, Writer

__all__ = ["applied_of", "bring_in", "open_writer", "settle"]

_log = logging.getLogger(__name__)

_PATIENCE_S = 1.0
"""So long a reader waits at most for a recorder beside it."""
_waited: dict[str, int] = {}
"""Up to where files were waited for in vain: a recorder that was stopped is not waited for twice."""
_said: set[str] = set()
_LOOK_S = 0.002
_TRIES = 20
_SIZE = 1024 * 1024
"""Of about so many bytes a transaction is made."""


def bring_in(writer: Writer) -> None:
    """Put what died recordings left beside this database into it; what cannot be, stays, and is told."""
    known = [name for (name,) in writer.conn.execute("SELECT name FROM progress WHERE name LIKE 'ahead-%'")]
    try:
        files = ahead.files_beside(writer.path)
    except OSError:  # whoever lists the folder finds what is in it
        return
    ahead.remove_unfinished(writer.path)
    until = time.monotonic() + _PATIENCE_S
    for path in files:
        taken = _taken_over(path, until, _TRIES)
        if taken is None:
            continue
        tail = taken.tail
        with contextlib.closing(tail):
            if taken.strange is not None:
                _say(f"not in the database yet: {path} {taken.strange}")
            elif taken.identity != writer.identity():
                _say(f"{path} holds exchanges of another database; remove it if that one is gone")
            else:  # how far it is in the database is asked only now that it is ours
                _bring(writer, path, tail.again(applied_of(writer.conn, tail.name)))
    # Lines of files that are gone: a file is there before its line is, so looking in this order finds none too many.
    for name in known:
        if _is_gone(ahead.path_of(writer.path, name)):
            _forget(writer.conn, name)


def _say(text: str) -> None:
    """Say what is so whenever a database is opened, once in a process."""
    if text not in _said:
        _said.add(text)
        _log.warning("%s", text)


def _is_gone(path: Path) -> bool:
    """Whether a file is known to be there no more."""
    try:
        path.lstat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def _bring(writer: Writer, path: Path, tail: ahead.Tail) -> None:
    lost = brought = 0
    while True:
        rows = tail.read(None, GROUP, _SIZE)
        if not rows:
            missing = tail.skip()
            lost += missing
            if not missing:
                break
            continue
        for run_id in {row[RUN_PLACE] for _, row in rows} - {None}:
            writer.look_for_pending(run_id)
        answers: list[Future[int]] = [Future() for _ in rows]
        items = [
            Item("ahead", (tail.name, number, row), answer)
            for (number, row), answer in zip(rows, answers, strict=True)
        ]
        if not writer.write_group(items):
            _log.warning("not in the database yet: what stands in %s (%s)", path, writer.last_error)
            return
        failed = sum(answer.exception() is not None for answer in answers)
        lost += failed
        brought += len(rows) - failed
    lost += tail.unread()
    if brought:
        _log.info("brought into the database: %s from %s", plural(brought, "exchange"), path)
    try:
        if lost:  # the only copy of what was answered is never removed
            aside = ahead.set_aside(path)
            _log.warning("damaged, and not in the database: %s in %s, which is kept", plural(lost, "exchange"), aside)
        else:
            path.unlink()
    except OSError as exc:  # its line stays: the next who opens the database must not begin anew
        _log.warning("%s can neither be removed nor renamed: %s", path, exc.strerror)
    else:
        _forget(writer.conn, tail.name)


def open_writer(path: Path) -> Writer:
    """Open a database for no more than bringing in what was left beside it.

    Raises:
        StoreError: or a child: it cannot be written.
    """
    return Writer(path, connect_writer(path, durable=False, create=False))


def settle(path: Path, conn: sqlite3.Connection) -> None:
    """Before reading: wait for a recorder that lives, and bring in what one left that does not."""
    left = 0
    until = time.monotonic() + _PATIENCE_S
    try:
        files = ahead.files_beside(path)
    except OSError:
        return
    for file in files:
        taken = _taken_over(file, until, 1)
        if taken is not None:
            with contextlib.closing(taken.tail) as died:
                if taken.strange is not None:
                    _say(f"not in the database yet: {file} {taken.strange}")
                elif taken.identity == applied_of(conn, IDENTITY):
                    left += died.again(applied_of(conn, died.name)).unread()
        elif (tail := ahead.follow(file)) is not None:
            with contextlib.closing(tail):
                standing = tail.standing()
            if _waited.get(tail.name) == standing:
                continue
            while applied_of(conn, tail.name) < standing and file.exists() and time.monotonic() < until:
                time.sleep(_LOOK_S)
                if (taken := ahead.take_over(file)) is not None:  # it was another reader's look that we saw
                    taken.tail.close()
                    left += standing
                    break
            if time.monotonic() >= until:
                _waited[tail.name] = standing
    if not left:
        return
    try:
        writer = open_writer(path)
        with contextlib.closing(writer), translated(path):
            bring_in(writer)
    except StoreError as exc:
        _log.warning("not in the database yet: %s that were answered (%s)", plural(left, "exchange"), exc)


def _taken_over(path: Path, until: float, tries: int) -> ahead.Taken | None:
    """Take a file over; where somebody else is just doing that, wait until it is done and what was in it is there.

    `tries`: a recording holds its file all the time, another reader that looks at it for a moment.
    """
    while (taken := ahead.take_over(path)) is None:
        if not ahead.is_being_brought_in(path):
            tries -= 1
        if not tries or time.monotonic() > until:
            return None
        time.sleep(_LOOK_S)
    return taken


def applied_of(conn: sqlite3.Connection, name: str) -> int:
    """Return how far a file is in the database: a number that `progress` has."""
    found = conn.execute("SELECT value FROM progress WHERE name = ?", (name,)).fetchone()
    return int(found[0]) if found is not None else 0


def _forget(conn: sqlite3.Connection, name: str) -> None:
    conn.execute("DELETE FROM progress WHERE name = ?", (name,))
