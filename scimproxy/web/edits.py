"""What a person may change from a page: note and tags of an exchange, name of a run, runs that go.

One rule: nothing that a client or a server sent is ever changed, and a run that is being recorded is left alone: its
recorder owns it. Each change opens the database, writes, and closes it: nobody holds it open for a page.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from scimproxy.errors import UsageError
from scimproxy.store import Store, prune

__all__ = ["Edits", "ReadOnly"]

_LONGEST_NOTE = 10_000
_LONGEST_NAME = 200
_LONGEST_TAG = 60
_MOST_TAGS = 20


class ReadOnly(UsageError):
    """This inspector only shows."""


class Edits:
    """Writes for the pages of one database."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self.path = path
        self.read_only = read_only
        self._one = asyncio.Lock()

    async def annotate(self, exchange_id: int, note: str | None, tags: list[object]) -> None:
        """Set note and tags of an exchange.

        Raises:
            UsageError: a value is too long or of the wrong kind, or nothing may be changed here.
        """
        self._refuse_read_only()
        note = None if note is None else _text("note", note, _LONGEST_NOTE) or None
        if len(tags) > _MOST_TAGS:
            raise UsageError(f"an exchange has at most {_MOST_TAGS} tags")
        words = tuple(dict.fromkeys(word for tag in tags if (word := _text("tag", tag, _LONGEST_TAG))))
        if any("," in word or any(char.isspace() for char in word) for word in words):
            raise UsageError("a tag is one word without commas", hint="so that tag:NAME finds it")

        def write() -> None:
            with Store.open(self.path, create=False) as store:
                store.annotate(exchange_id, note=note, tags=words)

        async with self._one:
            await asyncio.to_thread(write)

    async def rename(self, run_id: int, name: str, note: str | None) -> None:
        """Set name and note of a run that has ended.

        Raises:
            UsageError: see above; or it is being recorded.
        """
        self._refuse_read_only()
        name = _text("name", name, _LONGEST_NAME)
        note = None if note is None else _text("note", note, _LONGEST_NOTE) or None
        if not name:
            raise UsageError("a run needs a name")

        def write() -> None:
            with Store.open(self.path, create=False) as store:
                renamed = store.transact(
                    lambda conn: (
                        conn.execute(
                            "UPDATE runs SET name = ?, note = ? WHERE id = ? AND ended_at IS NOT NULL",
                            (name, note, run_id),
                        ).rowcount
                    )
                )
            if not renamed:
                raise UsageError(f"run {run_id} is being recorded", hint="rename it when it has ended")

        async with self._one:
            await asyncio.to_thread(write)

    async def delete(self, run_id: int) -> None:
        """Delete a run with all that belongs to it.

        Raises:
            UsageError: see above; or it is being recorded.
        """
        self._refuse_read_only()
        async with self._one:
            gone = await asyncio.to_thread(prune, self.path, now=time.time(), only=frozenset({run_id}))
        if not gone.run_ids:
            raise UsageError(f"run {run_id} is being recorded", hint="delete it when it has ended")

    def _refuse_read_only(self) -> None:
        if self.read_only:
            raise ReadOnly(
                "this inspector only shows", hint="notes, names and deleting work in the one that `up` starts"
            )


def _text(what: str, value: object, longest: int) -> str:
    if not isinstance(value, str):
        raise UsageError(f"the {what} is not a text")
    if len(value) > longest:
        raise UsageError(f"the {what} has more than {longest:,} characters")
    if any("\ud800" <= char <= "\udfff" or (char < " " and char not in "\n\t") or char == "\x7f" for char in value):
        raise UsageError(f"the {what} holds characters that no text has")
    return value.strip()
