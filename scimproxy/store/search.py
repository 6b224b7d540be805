"""Queries in SQL: which exchanges a `Query` means, page by page, so that little is read for little shown.

One rule: the meaning is `Query.matches`; this says the same of rows (a test holds both together). Conditions on
columns are SQL. Words of three or more characters narrow down by the trigram index; it keeps no positions (that
makes it six times smaller), so it may say yes too often, and what it finds is looked at itself. Shorter words are
looked for in the newest SCANNED exchanges. What is not derived yet is looked at one by one.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from scimproxy.query import Query, Term

__all__ = ["SCANNED", "Found", "Plan", "compile_query", "find"]

SCANNED = 3_000
"""Among so many of the newest exchanges words of one or two characters are looked for."""

_PAGE = 200
_TRIGRAMS = 24
"""At most so many parts of a word narrow down; the rest is seen when the exchange is looked at."""

type Select = Callable[[str, Sequence[Any]], list[Any]]
type Condition = tuple[str, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Plan:
    """A query made ready: `where` and `values` on `exchanges e LEFT JOIN operations o`, `match` for the index.

    `needs_derived`: a condition asks what is derived; rows without derived rows pass it and have to be looked at.
    `words` is the part of the query that is about text and has to be looked at; `scan`: only among the newest.
    """

    where: str
    values: tuple[Any, ...]
    match: str | None
    words: Query
    needs_derived: bool
    scan: bool


@dataclass(frozen=True, slots=True)
class Found:
    """A candidate: `derived` says whether its columns were all compared, so that only words are left to look at."""

    id: int
    derived: bool


def compile_query(query: Query) -> Plan:
    """Return how to find what a query means."""
    conditions: list[str] = []
    values: list[Any] = []
    words = tuple(term for term in query.terms if term.name == "text")
    needs_derived = False
    for term in query.terms:
        if term.name == "text":
            continue
        sql, given = _condition(term)
        sql = f"coalesce({sql}, 0)"
        if term.negated:
            sql = f"NOT {sql}"
        if "o." in sql:
            needs_derived = True
            sql = f"(o.exchange_id IS NULL OR {sql})"
        conditions.append(sql)
        values.extend(given)
    wanted = [str(term.value) for term in words if not term.negated]
    parts = [part for word in wanted for part in _trigrams(word)]
    return Plan(
        where=" AND ".join(conditions) or "1",
        values=tuple(values),
        match=" AND ".join(dict.fromkeys(parts)) or None,
        words=Query(words),
        needs_derived=needs_derived,
        scan=bool(wanted) and not parts,
    )


def find(
    plan: Plan,
    select: Select,
    *,
    run_id: int | None,
    after: int | None,
    before: int | None,
    newest_first: bool,
    among: Sequence[int] | None = None,
) -> Iterator[Found]:
    """Give the candidates, in the order of their ids; `select` runs SQL and returns all rows of it.

    `among` are few: those that were just written, of which each is looked at.
    """
    conditions, values = [plan.where], [*plan.values]
    # With words few are left to look at: the index of runs (`+` leaves it alone) would read a whole run for them.
    of_run = "e.run_id = ?" if plan.match is None else "+e.run_id = ?"
    for condition, value in ((of_run, run_id), ("e.id > ?", after), ("e.id < ?", before)):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    if among is not None:
        conditions.append(f"e.id IN ({_marks(among)})")
        values.extend(among)
    if plan.scan:
        conditions.append("e.id > (SELECT max(id) FROM exchanges) - ?")
        values.append(SCANNED)
    where = " AND ".join(conditions)
    columns = "SELECT e.id, o.exchange_id IS NOT NULL"
    joined = "LEFT JOIN operations o ON o.exchange_id = e.id WHERE"
    every = f"{columns} FROM exchanges e {joined} {where}"
    if plan.match is None or among is not None:
        sources = [(every, values, "e.id")]
    else:
        # The index gives its rows in order; what it does not hold yet is found by small indexes of its own. Bounds
        # are said of its own number: else it would give all rows of the database to leave most of them out.
        bounds = [(sql, value) for sql, value in (("> ?", after), ("< ?", before)) if value is not None]
        within = "".join(f" AND search_index.rowid {sql}" for sql, _ in bounds)
        indexed = (
            f"{columns} FROM search_index CROSS JOIN exchanges e ON e.id = search_index.rowid {joined}"
            f" search_index MATCH ?{within} AND {where}"
        )
        late = (
            f"{every} AND e.id IN (SELECT id FROM exchanges WHERE state = 'pending' UNION SELECT id FROM exchanges"  # noqa: S608 - our own SQL and question marks
            " WHERE seq > (SELECT value FROM progress WHERE name = 'derived_seq'))"
        )
        matched = [plan.match, *(value for _, value in bounds), *values]
        sources = [(indexed, matched, "search_index.rowid"), (late, values, "e.id")]
    pages = [_paged(sql, given, key, select, newest_first=newest_first) for sql, given, key in sources]
    merged = heapq.merge(*pages, key=lambda found: found.id, reverse=newest_first)
    for _, same in itertools.groupby(merged, key=lambda found: found.id):
        yield next(same)


def _paged(sql: str, values: Sequence[Any], key: str, select: Select, *, newest_first: bool) -> Iterator[Found]:
    last: int | None = None
    compare, order = ("<", "DESC") if newest_first else (">", "ASC")
    while True:
        more = "" if last is None else f" AND {key} {compare} ?"
        given = [*values, *(() if last is None else (last,)), _PAGE]
        page = select(f"{sql}{more} ORDER BY {key} {order} LIMIT ?", given)
        yield from (Found(row[0], bool(row[1])) for row in page)
        if len(page) < _PAGE:
            return
        last = page[-1][0]


def _trigrams(word: str) -> list[str]:
    """Return the parts of a word as the index knows them, quoted for MATCH; spread over a long word."""
    count = len(word) - 2
    stride = max(1, -(-count // _TRIGRAMS))
    return ['"' + word[at : at + 3].replace('"', '""') + '"' for at in range(0, count, stride)]


# --- one condition for each term ---


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))


def _words(column: str, term: Term) -> Condition:
    values = _tuple(term)
    return f"lower({column}) IN ({_marks(values)})", values


def _contains(*columns: str) -> Callable[[Term], Condition]:
    sql = " OR ".join(f"coalesce(instr(lower({column}), ?), 0) > 0" for column in columns)
    return lambda term: (f"({sql})", (term.value,) * len(columns))


def _status(term: Term) -> Condition:
    ranges = _tuple(term)
    return (
        "(" + " OR ".join(["e.status_code BETWEEN ? AND ?"] * len(ranges)) + ")",
        tuple(itertools.chain.from_iterable(ranges)),
    )


def _user(term: Term) -> Condition:
    sql, values = _contains("o.resource_name", "o.resource_id", "o.filter")(term)
    return f"(o.resource_type = 'User' AND {sql})", values


def _one_of(conditions: dict[str, str]) -> Callable[[Term], Condition]:
    return lambda term: ("(" + " OR ".join(conditions[word] for word in _tuple(term)) + ")", ())


def _tag(term: Term) -> Condition:
    values = _tuple(term)
    sql = f"EXISTS (SELECT 1 FROM json_each(e.tags) WHERE lower(value) IN ({_marks(values)}))"  # noqa: S608 - question marks
    return sql, values


def _tuple(term: Term) -> tuple[Any, ...]:
    assert isinstance(term.value, tuple)
    return term.value


_HAS = {
    "failure": "e.failure_kind IS NOT NULL",
    "note": "e.note IS NOT NULL",
    "response": "e.status_code IS NOT NULL",
    "retry": "coalesce(e.attempts > 1, 0)",
    "rewrite": "e.rewrites IS NOT NULL",
    "tag": "e.tags IS NOT NULL",
}
_IS = {
    "aborted": "e.state = 'aborted'",
    "complete": "e.state = 'complete'",
    "error": "(e.failure_kind IS NOT NULL OR coalesce(e.status_code >= 400, 0))",
    "mock": "coalesce(e.origin = 'mock', 0)",
    "pending": "e.state = 'pending'",
    "scim": "coalesce(o.is_scim, 0)",
}
_CONDITIONS: dict[str, Callable[[Term], Condition]] = {
    "method": lambda term: _words("e.method", term),
    "status": _status,
    "path": _contains("substr(e.target, 1, instr(e.target || '?', '?') - 1)"),
    "host": _contains("e.host"),
    "op": lambda term: _words("o.kind", term),
    "type": lambda term: _words("o.resource_type", term),
    "user": _user,
    "client": lambda term: _words("coalesce(e.client, o.client)", term),
    "run": lambda term: (f"e.run_id IN ({_marks(_tuple(term))})", _tuple(term)),
    "failure": lambda term: _words("e.failure_kind", term),
    "has": _one_of(_HAS),
    "is": _one_of(_IS),
    "tag": _tag,
    "slower": lambda term: ("e.total_ms > ?", (term.value,)),
    "faster": lambda term: ("e.total_ms < ?", (term.value,)),
}


def _condition(term: Term) -> Condition:
    return _CONDITIONS[term.name](term)
