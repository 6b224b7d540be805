"""How a recording tells what happens: it follows the database, so that what is told has been recorded.

One rule: telling never holds up recording. It reads in batches, pauses in between, and skips (and says so) what comes
faster than a person reads. Place in the flow: Store -> Telling -> Outlet -> a terminal, a program, the inspector.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable

from scimproxy.events import Event, Notice, Seen, Skipped
from scimproxy.outlet import Outlet
from scimproxy.proxy.engine import EngineOptions
from scimproxy.proxy.locations import find_locations
from scimproxy.stopping import Stop
from scimproxy.store import Reader, Row

__all__ = ["Telling"]

_TOLD_EVERY_S = 0.05
_BATCH = 200
_READABLE = 40
_READABLE_S = 1.0
_SHARE = 6
"""Under load telling pauses so many times as long as it took: recording comes first."""
_LISTENS_S = 2.0
_REST_S = 5.0
_LOOKED_THROUGH = 1024 * 1024
"""Exchanges with more bytes are not looked through for addresses: it would hold up the traffic."""
_LOOKED_AT = 50
"""So many answers of a recording are looked at for addresses that clients cannot use."""


class Telling:
    """Tells the events of one recording, in order; made inside the event loop.

    Args:
        tell: called with each event, in a thread of its own.
        stop: the wish to end; who is asked to end at once is not kept by a reader who is slow.
        tell_all: tell every exchange, however fast they come; else what a person cannot read is skipped.
    """

    def __init__(self, tell: Callable[[Event], None], stop: Stop, *, tell_all: bool) -> None:
        self._outlet = Outlet(tell)
        self._stop = stop
        self._all = tell_all
        self._changed = asyncio.Event()
        self._notices: deque[Notice] = deque()
        self._reader: Reader = None  # type: ignore[assignment]  # set by `begin`, before anything is read
        self._run_id = 0
        self._options: Callable[[], EngineOptions] = None  # type: ignore[assignment]  # the same
        self._seq = 0
        self._locations_left = _LOOKED_AT
        self.active_at = 0.0
        """When something was recorded last (Unix seconds)."""

    def __call__(self, event: Event) -> None:
        """Tell an event that is not in the database."""
        self._outlet(event)

    def notice(self, message: str, hint: str | None = None) -> None:
        """Tell what a person should know, a moment later: a broken output must not raise inside the engine."""
        self._notices.append(Notice(message, hint))
        self._changed.set()

    def changed(self) -> None:
        """Learn that something was committed."""
        self._changed.set()

    def begin(self, reader: Reader, run_id: int, options: Callable[[], EngineOptions]) -> None:
        """Tell this run, from now on. `options` gives what the engine does at the moment."""
        self._reader, self._run_id, self._options = reader, run_id, options
        self._seq = reader.newest_seq()

    async def broken(self) -> None:
        """Wait for ever, or until telling raised, and raise it here."""
        await self._outlet.broken()

    async def close(self) -> bool:
        """Wait, not for long, until what is queued is told; return whether it all was."""
        return await self._outlet.close(_LISTENS_S)

    async def follow(self) -> None:
        """Tell what was written, as it is written; in batches, so that telling never holds up recording for long."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._outlet.room()
            began = time.monotonic()
            more = self._batch()
            taken = time.monotonic() - began
            if more:
                self._changed.set()
            pause = _READABLE_S if more and not self._all else _TOLD_EVERY_S
            await asyncio.sleep(max(pause, taken * _SHARE))

    async def rest(self) -> None:
        """Tell what was not told yet; a reader who does not read, or cannot keep up, must not keep us from ending."""
        until = time.monotonic() + _REST_S
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LISTENS_S):
                await self._outlet.room()
            while self._batch():
                async with asyncio.timeout(_LISTENS_S):
                    await self._outlet.room()
                if time.monotonic() > until or self._stop.at_once.is_set():
                    break
                await asyncio.sleep(0)  # a second signal is heard
            else:
                return
        untold = self._reader.newest_seq() - self._seq
        if untold > 0:
            self._outlet(Skipped(untold))

    def _batch(self) -> bool:
        """Tell up to a batch of changes; return whether there may be more."""
        while self._notices:
            self._outlet(self._notices.popleft())
        limit = _BATCH if self._all else _READABLE
        newest = self._reader.newest_seq()  # before the rows: what comes in between is told the next time
        rows = self._reader.changes(after=self._seq, limit=limit, run_id=self._run_id)
        if rows:
            self.active_at = time.time()
        for row in rows:
            self._seq = row.seq
            self._outlet(Seen(row))
            if self._locations_left:
                self._look_at_locations(row)
        if len(rows) == limit and self._all:
            return True
        if len(rows) == limit and newest > self._seq:
            self._outlet(Skipped(newest - self._seq))
        self._seq = max(self._seq, newest)  # never read again what other recordings write into this database
        return len(rows) == limit

    def _look_at_locations(self, row: Row) -> None:
        """Report, once, an address in an answer that clients cannot use; in the first answers, off the hot path."""
        options = self._options()
        if row.status_code is None or row.status_code >= 400 or options.forward is not None:
            return
        if max(row.request_size, row.response_size or 0) > _LOOKED_THROUGH:
            return
        self._locations_left -= 1
        exchange = self._reader.exchange(row.id)
        if exchange is None or exchange.response is None or exchange.origin != "upstream":
            return
        origin = options.public_origin or (f"{exchange.scheme}://{exchange.host}" if exchange.host else None)
        places = find_locations(exchange.response, options, origin)
        if places:
            self._locations_left = 0
            place, value = places[0].place, places[0].value
            self._outlet(
                Notice(
                    f"exchange {row.id}: {place} shows {value}, an address that clients cannot use",
                    "let the server build its URLs from Host or X-Forwarded-*, pass --preserve-host, "
                    "or have them rewritten with --rewrite-locations",
                )
            )
