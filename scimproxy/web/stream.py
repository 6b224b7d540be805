"""Exchanges as they come, as server-sent events: in batches, resumable, none missed.

One rule: what a page is told comes from the store by its `seq`, so that a page which was away (reloaded, asleep, the
server restarted) says the last number it knows and goes on from there. An event `exchanges` has that number as id.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from scimproxy.errors import ScimproxyError, UsageError
from scimproxy.overview import run_json
from scimproxy.query import Query
from scimproxy.store import Reader
from scimproxy.web.api import mark_json, row_json
from scimproxy.web.asking import filter_of, number
from scimproxy.web.feed import Feed
from scimproxy.web.readers import Readers

__all__ = ["Stream"]

_MOST_WATCHERS = 24
_BATCH = 500
_MOST_MARKS = 5_000
"""Steps that a page is told when it comes again, at most."""
_BEAT_S = 10.0
"""So often something is said, so that both ends notice when the other is gone."""
_REST_S = 0.2
"""At most so often a page is told: a person reads no faster."""
_BEHIND_S = 0.05
"""So long while there is more to tell: a page catches up, and a recorder on this machine is not starved."""


@dataclass(slots=True)
class _Place:
    """Where one watcher stands."""

    seq: int
    run: int | None
    query: Query | None
    step: int | None = None
    runs: set[int] = field(default_factory=set)
    ended: bool = False


class Stream:
    """Answers `GET /api/v1/events`."""

    def __init__(self, readers: Readers, feed: Feed) -> None:
        self._readers = readers
        self._feed = feed
        self._ending = False

    def end(self) -> None:
        """End all streams, so that the server can stop."""
        self._ending = True
        self._feed.wake()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Tell what is new after `Last-Event-ID` (or `after`; else from now on)."""
        query, run = filter_of(request), number(request, "run")
        after = _last(request)
        if self._feed.watchers >= _MOST_WATCHERS:
            raise UsageError(f"more than {_MOST_WATCHERS} pages watch", hint="close some of them")
        if after is None:
            after = await self._readers.ask(lambda reader: reader.newest_seq())
        place = _Place(after, run, query)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):  # the page is gone
            async with self._feed.watching() as changed:
                await response.write(_event("hello", {"seq": place.seq}))
                while not self._ending:
                    try:
                        async with asyncio.timeout(_BEAT_S):
                            await changed.wait()
                    except TimeoutError:
                        await response.write(_event("beat", {}))
                        continue
                    changed.clear()
                    more = await self._tell(response, place)
                    if more:
                        changed.set()
                    await asyncio.sleep(_BEHIND_S if more else _REST_S)
        return response

    async def _tell(self, response: web.StreamResponse, place: _Place) -> bool:
        """Tell what is new; return whether there may be more."""
        try:
            found, more = await self._readers.ask(lambda reader: _news(reader, place))
        except ScimproxyError as exc:
            await response.write(_event("trouble", {"title": exc.message, "hint": exc.hint}))
            return False
        if found is not None:
            await response.write(_event("exchanges", found, place.seq))
        return more


def _last(request: web.Request) -> int | None:
    text = request.headers.get("Last-Event-ID", "")
    if text.isascii() and text.isdigit() and len(text) <= 18:
        return int(text)
    return number(request, "after")


def _news(reader: Reader, place: _Place) -> tuple[dict[str, Any] | None, bool]:
    """Return what came since, and whether there may be more; moves the place on."""
    if place.step is None:
        # An exchange is stored before the step that made it ends: the last known one's step may not be known.
        newest = reader.newest_mark()
        place.step = max(min(reader.mark_before(place.seq), newest - 1), newest - _MOST_MARKS, 0)
    rows = reader.changes(after=place.seq, limit=_BATCH)
    more = len(rows) == _BATCH
    if rows:
        place.seq = rows[-1].seq
    mine = {row.id: row for row in rows if place.run is None or row.run_id == place.run}
    gone: list[int] = []
    if place.query is not None and mine:
        fitting = {row.id for row in reader.exchanges(query=place.query, among=list(mine))}
        gone = [number for number in mine if number not in fitting]
        mine = {number: row for number, row in mine.items() if number in fitting}
    marks = []
    while page := reader.marks(after=place.step):
        marks += page
        place.step = page[-1].id
    runs = []
    for run_id in {row.run_id for row in mine.values()} - place.runs:
        run = reader.run_page(before=run_id + 1, limit=1)
        runs += [run_json(one) for one in run if one.id == run_id]
        place.runs.add(run_id)
    if place.run is not None and not place.ended:
        watched = reader.run_page(before=place.run + 1, limit=1)
        if watched and watched[0].id == place.run and watched[0].ended_at is not None:
            place.ended = True  # a page that shows this run shows its end
            runs = [run_json(watched[0])]
    if not (mine or gone or marks or rows or runs):
        return None, more
    return {
        "exchanges": [row_json(row) for row in mine.values()],
        "gone": gone,
        "runs": runs,
        "steps": [mark_json(mark) for mark in marks],
    }, more


def _event(name: str, value: object, number: int | None = None) -> bytes:
    head = "" if number is None else f"id: {number}\n"
    return f"{head}event: {name}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n".encode("utf-8", "replace")
