"""Which exchanges one would compare an exchange with: about the same resource, or the same operation on others.

One rule: a suggestion, found within the time of a page: the newest first, each with the reason why it is there.
"""

from __future__ import annotations

from typing import Literal

from scimproxy.exchange import Exchange
from scimproxy.query import Query, Term
from scimproxy.scim.message import operation_of
from scimproxy.store import Reader, Row
from scimproxy.web.searching import look_back

__all__ = ["Near", "comparable"]

MOST = 24
"""So many are suggested; more do not help a person to choose."""

type Near = Literal["same resource", "same operation", "near it"]


def comparable(reader: Reader, exchange: Exchange) -> list[tuple[Row, Near]]:
    """Return exchanges to compare one with; those of its own resource and operation first, never itself."""
    operation = operation_of(exchange)
    terms = [Term("op", (operation.kind,))]
    if operation.resource_type:
        terms.append(Term("type", (operation.resource_type.lower(),)))
    rows = look_back(reader, Query(tuple(terms)), run=None, before=None, limit=4 * MOST).rows
    found: dict[int, tuple[Row, Near]] = {}
    for row in rows:
        if operation.resource_id is not None and row.resource_id == operation.resource_id:
            found[row.id] = (row, "same resource")
    for row in rows:
        found.setdefault(row.id, (row, "same operation"))
    if len(found) < MOST:
        for row in look_back(reader, None, run=exchange.run_id, before=None, limit=MOST).rows:
            same = operation.resource_id is not None and row.resource_id == operation.resource_id
            found.setdefault(row.id, (row, "same resource" if same else "near it"))
    return [one for number, one in found.items() if number != exchange.id][:MOST]
