"""A writer's way through the ahead file of its recorder: what comes next there, and how far the database is.

One rule: what was given and could not be written is given again, from the file, until it is; only what fits into no
database is passed over, and that is said. Place in the flow: ahead.py's file -> here -> serving.py's groups of items.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from pathlib import Path

from scimproxy.amounts import plural
from scimproxy.store.ahead import Tail, create, follow, left_there, set_aside
from scimproxy.store.bringing import applied_of
from scimproxy.store.writing import Item, Writer

__all__ = ["Following"]

_log = logging.getLogger(__name__)

_TOGETHER = 256 * 1024
"""So many bytes of the ahead file are made rows of at once."""


class _Stood:
    """The answer to what stands in the ahead file: where it cannot be written now it is read again from there."""

    __slots__ = ("_following", "_number", "_told")

    def __init__(self, following: Following, number: int) -> None:
        self._following = following
        self._number = number
        self._told = False

    def set_result(self, _id: object) -> None:
        self._told = True
        self._following.applied = self._number

    def set_exception(self, problem: BaseException) -> None:
        self._told = True
        self._following.failed(self._number, problem)

    def done(self) -> bool:
        return self._told


class Following:
    """A writer's way through its recorder's ahead file. `applied`: up to that entry all is in the database.

    `broken`: somebody else wrote into the file, or its disk fails; the recorder is to use it no more.
    """

    def __init__(self, writer: Writer, path: Path, tail: Tail, applied: int) -> None:
        self.path = path
        self.applied = applied
        self.broken = False
        self.is_over = False
        self._name = tail.name
        self._writer = writer
        self._tail = tail
        self._again = False
        self._is_aside = self._is_copied = False

    @classmethod
    def begin(cls, writer: Writer, told: str) -> Following | None:
        """Go on with the file that is told, or make one where none is; None where there is none to be had."""
        try:
            if not told:
                made = create(writer.path, writer.identity())
                return None if made is None else cls(writer, *made, 0)
        except sqlite3.Error:  # it is locked, or full: the next writer may have one
            return None
        path = Path(told)
        tail = follow(path)
        if tail is None:
            return None
        try:  # only now that it is held: till then somebody else may be bringing it in
            applied = applied_of(writer.conn, tail.name)
        except sqlite3.Error:
            tail.close()
            return None
        return cls(writer, path, tail.again(applied), applied)

    def items(self, upto: int | None, most: int) -> list[Item]:
        """Return what comes next there."""
        rows = self._tail.read(upto, most, _TOGETHER)
        return [Item("ahead", (self._name, number, row), _Stood(self, number)) for number, row in rows]

    def is_read(self, upto: int | None) -> bool:
        """Whether all up to an entry was given."""
        return upto is not None and self._tail.number >= upto

    def rewind(self) -> int | None:
        """After a failure: begin anew behind what is in the database. Return up to where it has to be given again."""
        if self.broken and not self._again:  # what could be read of it is in the database
            self._set_aside()
        if not self._again or self.is_over:
            return None
        self._again = False
        number = self._tail.number
        self._tail = self._tail.again(self.applied)
        return number

    def failed(self, number: int, problem: BaseException) -> None:
        """Have it given again, unless it fits into no database."""
        if self.is_over or problem is self._writer.last_error:
            self._again = True
        elif not self._again:
            _log.error("an exchange that was answered fits into no database: %s", problem)
            self._copy_aside()
            self.applied = number
            with contextlib.suppress(sqlite3.Error):  # nobody is to wait for it
                self._writer.conn.execute("REPLACE INTO progress VALUES (?, ?)", (self._name, number))

    def give_up(self, upto: int) -> bool:
        """What was said to stand there cannot be read. Return whether there is more behind it that can."""
        number = self._tail.number
        missing = self._tail.skip() or max(0, upto - number)
        _log.error("damaged, and not in the database: %s that stood in %s", plural(missing, "exchange"), self.path)
        self.broken = True
        return self._tail.number > number

    def _set_aside(self) -> None:
        """Keep the file for a person, where no reader waits for it."""
        if not self._is_aside:
            self._is_aside = True
            with contextlib.suppress(OSError):
                self.path = set_aside(self.path)
                _log.error("what was in it is kept in %s", self.path)

    def _copy_aside(self) -> None:
        if not self._is_copied:
            self._is_copied = True
            with contextlib.suppress(OSError):
                _log.error("it is kept in %s", set_aside(self.path, copied=True))

    def end(self) -> None:
        """Remove the file where all of it is in the database; else the next who opens that brings it in."""
        rest = self._tail.again(self.applied)
        if self._is_aside or (self.broken and not rest.read(None, 1, 1)):
            self._set_aside()
        elif left := rest.unread():
            _log.warning("%s", left_there(left, self.path))
        else:
            with contextlib.suppress(OSError, sqlite3.Error):
                self.path.unlink()
                self._writer.conn.execute("DELETE FROM progress WHERE name = ?", (self._name,))
        self._tail.close()
