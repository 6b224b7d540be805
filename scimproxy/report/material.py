"""What a report shows, read from the store: without secrets and, unless names are kept, without personal values.

One rule: nothing leaves here that a report may not show; whoever prints it need not ask. Place in the flow:
store.Reader -> redact -> Personal -> Material -> page.py, bundle, share.
"""

from __future__ import annotations

import time

from scimproxy.bodies import seen
from scimproxy.diff.runs import RunDiff, compare_runs
from scimproxy.exchange import Exchange, Run
from scimproxy.query import Query
from scimproxy.redact import redact
from scimproxy.report import page as report_page
from scimproxy.report.page import Material
from scimproxy.report.personal import Personal
from scimproxy.scim.message import Operation, operation_of
from scimproxy.store import Reader
from scimproxy.suite.masking import without_secrets

__all__ = ["read_material"]

type Read = list[tuple[Exchange, Operation]]


def read_material(
    reader: Reader, run: Run, other: Run | None = None, query: Query | None = None, *, keep_names: bool = False
) -> tuple[Material, Personal | None]:
    """Return what a report of a run shows, without secrets and, unless names are kept, without personal values."""
    assert run.id is not None
    exchanges, more = _read(reader, run, query)
    result = reader.suite(run.id)
    if result is not None:
        result = without_secrets(result)
    others = [] if other is None else _read(reader, other, query)[0]
    personal = None if keep_names else Personal()
    against = "" if other is None else f"run {other.id} ({other.name})"
    if personal is not None:
        personal.collect_run(run)
        if result is not None:
            personal.collect_result(result)
        for one, operation in (*exchanges, *others):
            personal.collect(one, operation)
        personal.close()
        run, against = personal.hide_run(run), personal.names.text(against)
        result = None if result is None else personal.hide_result(result)
        exchanges, others = _hidden(exchanges, personal), _hidden(others, personal)
    material = Material(
        run=run,
        exchanges=exchanges,
        result=result,
        diff=None if other is None else _compared(others, exchanges),
        against=against,
        replaced=None if personal is None else {str(kind): n for kind, n in personal.names.counts.items()},
        left_out={} if personal is None else dict(personal.left_out),
        more=more,
        made_at=time.time(),
    )
    return material, personal


def _read(reader: Reader, run: Run, query: Query | None) -> tuple[Read, int]:
    """Return the exchanges of a run without secrets, and how many more there are than one page shows."""
    assert run.id is not None
    found: Read = []
    more = 0
    for exchange in reader.all_whole(run.id):
        operation = reader.operation(exchange)
        if query is not None and not query.matches(exchange, operation):
            continue
        if len(found) == report_page.MOST_EXCHANGES:
            more += 1
            continue
        found.append((redact(exchange)[0], operation))
    return found, more


def _hidden(exchanges: Read, personal: Personal) -> Read:
    made = [personal.hide(one, operation) for one, operation in exchanges]
    return [(one, operation_of(one)) for one in made]


def _compared(others: Read, exchanges: Read) -> RunDiff:
    return compare_runs([seen(one) for one, _ in others], [seen(one) for one, _ in exchanges])
