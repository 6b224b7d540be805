"""A page of exchanges that fit a filter, looked for so long and no longer: what fits rarely is found piece by piece.

One rule: an answer says how far back it looked, so that whoever asks can go on from there: nothing between two
answers is left out, and none of them has to read a million rows. The index of words may say yes too often, and what
it finds is looked at one by one: that, too, ends when the time is over.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from scimproxy.query import Query
from scimproxy.store import Reader, Row

__all__ = ["Looked", "look_back"]

FIRST = 20_000
"""So many ids are looked through at first; more at once where that is quick."""
_QUICK_S = 0.02
_SLOW_S = 0.08
LIMIT_S = 0.25


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found, the newest first; `more`: there may be more; `searched`: all from this id on was looked at."""

    rows: list[Row]
    more: bool
    searched: int | None = None


def look_back(reader: Reader, query: Query | None, *, run: int | None, before: int | None, limit: int) -> Looked:
    """Return at most `limit` exchanges that fit, from `before` back, as far as LIMIT_S lets us look."""
    if query is None or not query.terms:
        rows = list(reader.exchanges(run, query, before=before, newest_first=True, limit=limit + 1))
        return Looked(rows[:limit], len(rows) > limit)
    newest = next(reader.exchanges(limit=1, newest_first=True), None)
    end_of_all = 1 if newest is None else newest.id + 1
    upper = end_of_all if before is None else min(before, end_of_all)
    # Words alone are found by their index, wherever they are: there is nothing to look through in pieces.
    words = all(term.name == "text" for term in query.terms) and not all(term.negated for term in query.terms)
    span, end, rows = end_of_all if words else FIRST, time.monotonic() + LIMIT_S, []
    looked: list[int] = []

    def enough(number: int) -> bool:
        if time.monotonic() >= end:
            looked.append(number)
        return bool(looked)

    while upper > 1:
        began, lower = time.monotonic(), max(0, upper - 1 - span)
        left = limit + 1 - len(rows)
        reader.enough = enough
        try:
            rows += reader.exchanges(run, query, before=upper, after=lower, newest_first=True, limit=left)
        finally:
            reader.enough = None
        if len(rows) > limit:
            return Looked(rows[:limit], more=True)
        if looked:
            return Looked(rows, more=looked[0] > 1, searched=looked[0])
        upper, now = lower + 1, time.monotonic()
        if upper > 1 and now >= end:
            return Looked(rows, more=True, searched=upper)
        if now - began < _QUICK_S:
            span *= 2
        elif now - began > _SLOW_S:
            span = max(FIRST // 4, span // 2)
    return Looked(rows, more=False)
