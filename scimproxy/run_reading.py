"""A run, read whole for those who compare or repeat it: its exchanges, each with the suite's step that made it.

One rule: what is read here holds no secret and no body that is too long to be compared by value.
Place in the flow: store -> read_run -> diff, replay. Both runs are in memory while they are compared.
"""

from __future__ import annotations

from dataclasses import replace

from scimproxy.bodies import LONGEST, Seen, seen
from scimproxy.errors import UsageError
from scimproxy.exchange import Content, Exchange, Run
from scimproxy.redact import redact
from scimproxy.store import Reader

__all__ = ["MOST_EXCHANGES", "light", "read_run"]

MOST_EXCHANGES = 50_000
"""Exchanges of one run that are compared or repeated."""


def read_run(reader: Reader, run: Run) -> list[Seen]:
    """Read a run whole: its exchanges, each with the step of a suite that made it.

    Raises:
        UsageError: it has more than MOST_EXCHANGES.
    """
    assert run.id is not None
    if (run.exchange_count or 0) > MOST_EXCHANGES:
        raise UsageError(
            f"run {run.id} has {run.exchange_count:,} exchanges; up to {MOST_EXCHANGES:,} are read at once",
            hint="export a part of it with `scimproxy export`, import that, and use it",
        )
    suite = reader.suite(run.id)
    steps = {} if suite is None else {one.exchange_id: (one.number, one.note) for one in suite.steps}
    return [seen(light(one), steps.get(one.id)) for one in reader.all_whole(run.id, with_connections=False)]


def light(exchange: Exchange) -> Exchange:
    """Return an exchange without secrets, and without bodies that are too long to be compared by value."""
    clean, _ = redact(exchange)
    request, response = clean.request, clean.response
    if len(request.content.data) > LONGEST:
        clean = replace(clean, request=replace(request, content=_shorter(request.content)))
    if response is not None and len(response.content.data) > LONGEST:
        clean = replace(clean, response=replace(response, content=_shorter(response.content)))
    return clean


def _shorter(content: Content) -> Content:
    return replace(content, data=b"", redacted=False)
