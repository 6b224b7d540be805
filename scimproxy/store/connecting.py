"""Opening the database file: permissions, pragmas, what kind of file it is; SQLite's errors as sentences.

Two rules. No `sqlite3.Error` leaves the package: whoever runs SQL does it inside `translated(path)`. And nobody but
SQLite opens an existing database file: closing any descriptor of a file drops all POSIX locks that the process holds
on it, and another process that writes then would take the WAL away under a recorder (SQLite's "How To Corrupt An
SQLite Database File", section 2.2).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from scimproxy.errors import StoreBusy, StoreCorrupt, StoreError, StoreFull, StoreTooNew
from scimproxy.store.schema import APPLICATION_ID, OLDEST_READABLE, SCHEMA_VERSION, migrate

__all__ = ["BUSY_MS", "connect_reader", "connect_upkeep", "connect_writer", "translate", "translated"]

BUSY_MS = 5_000
"""How long a write waits for another process's lock before it is StoreBusy."""

_OTHER_FILE = "give another file with --db, or move this one away"


def translate(exc: sqlite3.Error, path: Path | str) -> StoreError:
    """Return the error of the house that an SQLite error means."""
    # The low byte is the primary code, the rest says more (https://sqlite.org/rescode.html).
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(
            f"no space is left for the database {path}",
            hint="free space on that disk, or `scimproxy prune` old runs; recording goes on by itself then",
        )
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return StoreBusy(
            f"the database {path} is locked by another process",
            hint="close the program that is writing to it, or give another file with --db",
        )
    if code == sqlite3.SQLITE_NOTADB:
        return StoreCorrupt(f"{path} is not a SQLite database", hint=_OTHER_FILE)
    if code == sqlite3.SQLITE_CORRUPT:
        return StoreCorrupt(
            f"the database {path} is damaged: {exc}",
            hint=f"keep it, save what can be read with `sqlite3 {path} .recover`, and {_OTHER_FILE}",
        )
    if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}:
        return StoreError(
            f"the database {path} cannot be opened or written: {exc}",
            hint="check the permissions of the file and its folder, or give another file with --db",
        )
    return StoreError(f"the database {path} failed: {exc}", hint="`scimproxy doctor` looks at file and disk")


@contextlib.contextmanager
def translated(path: Path | str) -> Iterator[None]:
    """Turn SQLite's errors inside the block into StoreError and its children."""
    try:
        yield
    except sqlite3.Error as exc:
        raise translate(exc, path) from exc


def connect_writer(path: Path, *, durable: bool, create: bool) -> sqlite3.Connection:
    """Open (and make, where it is missing) the database for writing, with the newest schema.

    Raises:
        StoreError: or a child: the file or its folder cannot be used, told with what to do.
    """
    _prepare_file(path, create=create)
    with translated(path):
        conn = _writing(path)
        try:
            fresh = _refuse_other_databases(conn, path)
            if fresh:
                conn.execute("PRAGMA auto_vacuum = INCREMENTAL")  # has to come before the first table
            conn.execute("PRAGMA journal_mode = WAL")
            conn.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            # The writer gives every number itself; having SQLite look each one up costs a tenth of a recording.
            conn.execute("PRAGMA foreign_keys = OFF")
            conn.execute("BEGIN IMMEDIATE")  # two recorders may start at once: one of them makes the tables
            try:
                migrate(conn)
            except BaseException:
                conn.rollback()
                raise
            conn.execute("COMMIT")
        except BaseException:
            conn.close()
            raise
    return conn


def connect_upkeep(path: Path) -> sqlite3.Connection:
    """Open an existing database of the newest schema for a short piece of work beside a recorder.

    Raises:
        sqlite3.Error: it cannot be written.
    """
    return _writing(path)


def connect_reader(path: Path) -> sqlite3.Connection:
    """Open the database for reading only: while it is recorded to, as a copy, or in a read-only folder.

    Raises:
        StoreError: or a child: there is no such file, or it is not ours, or too new.
    """
    if not path.is_file():
        raise StoreError(f"there is no database {path}", hint="record something with `scimproxy up`, or give --db")
    with translated(path):
        conn = _reading(path, "mode=ro")
        try:
            try:
                conn.execute("SELECT count(*) FROM sqlite_master").fetchone()
            except sqlite3.OperationalError as exc:
                if (exc.sqlite_errorcode & 0xFF) not in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}:
                    raise
                # A WAL database in a folder where no -shm file can be made: nobody else can be writing it either.
                conn.close()
                conn = _reading(path, "mode=ro&immutable=1")
            conn.execute("PRAGMA cache_size = -8000")
            if _refuse_other_databases(conn, path):
                raise StoreError(f"the database {path} is empty", hint="record something with `scimproxy up`")
            (version,) = conn.execute("PRAGMA user_version").fetchone()
            if version < OLDEST_READABLE:
                raise StoreError(
                    f"the database {path} has an older schema ({version}; this scimproxy reads {OLDEST_READABLE})",
                    hint="it is brought up to date the next time scimproxy writes to it",
                )
        except BaseException:
            conn.close()
            raise
    return conn


def _writing(path: Path) -> sqlite3.Connection:
    conn = sqlite3.connect(
        _uri(path, "mode=rw"),
        uri=True,
        isolation_level=None,
        timeout=BUSY_MS / 1000,
        check_same_thread=False,
        cached_statements=256,
    )
    try:
        conn.execute(
            "PRAGMA secure_delete = OFF"
        )  # zeroing freed pages costs writes, and secrets are not kept unless asked
        conn.execute("PRAGMA cache_size = -8000")
        conn.execute("PRAGMA wal_autocheckpoint = 16000")
        conn.execute("PRAGMA journal_size_limit = 67108864")
        conn.execute("PRAGMA synchronous = NORMAL")
    except BaseException:  # a damaged file fails at the first statement
        conn.close()
        raise
    return conn


def _reading(path: Path, options: str) -> sqlite3.Connection:
    # No statement here: the first one may fail, and connect_reader knows what that means.
    return sqlite3.connect(
        _uri(path, options), uri=True, isolation_level=None, timeout=BUSY_MS / 1000, check_same_thread=False
    )


def _uri(path: Path, options: str) -> str:
    return f"file:{urllib.parse.quote(str(path.absolute()))}?{options}"


def _prepare_file(path: Path, *, create: bool) -> None:
    """Make folder (0700) and file (0600) where they are missing; SQLite gives -wal and -shm the file's mode."""
    if path.is_dir():
        raise StoreError(f"{path} is a folder, not a database", hint=f"write --db {path / 'scimproxy.db'}")
    if path.exists():
        return
    if not create:
        raise StoreError(f"there is no database {path}", hint="record something with `scimproxy up`, or give --db")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as exc:
        raise StoreError(
            f"the database {path} cannot be made: {exc.strerror or exc}",
            hint="check the folder's permissions, or give another file with --db",
        ) from exc


def _refuse_other_databases(conn: sqlite3.Connection, path: Path) -> bool:
    """Return whether the database is still empty; refuse one that is not ours or is newer than we know."""
    (application,) = conn.execute("PRAGMA application_id").fetchone()
    (version,) = conn.execute("PRAGMA user_version").fetchone()
    (tables,) = conn.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application == 0 and not tables:
        return True
    if application != APPLICATION_ID:
        raise StoreCorrupt(f"{path} is a SQLite database, but not one of scimproxy", hint=_OTHER_FILE)
    if version > SCHEMA_VERSION:
        raise StoreTooNew(
            f"the database {path} is of a newer scimproxy: schema {version}, this one knows {SCHEMA_VERSION}",
            hint=f"upgrade scimproxy, or {_OTHER_FILE}",
        )
    return False
