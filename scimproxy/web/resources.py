"""One SCIM resource through time: which exchanges touched it, and what it was before and after one of them.

One rule: what is shown was seen on the wire; where no answer told the resource, it is not known. Candidates come from
the search index (an id stands in a URL or a body), so that it stays fast among a million exchanges.
"""

from __future__ import annotations

import itertools
import json
from typing import Any, Literal

from scimproxy.exchange import Exchange
from scimproxy.query import Query, Term, fold
from scimproxy.redact import redact
from scimproxy.scim.message import operation_of
from scimproxy.store import Reader, Row
from scimproxy.web.whole import resource_in

__all__ = ["before_and_after", "touching"]

_LOOKED_AT = 20
"""So many exchanges on each side are looked at for what the resource was."""
_CANDIDATES = 2_000

type Touch = Literal["about", "mentions"]


def touching(reader: Reader, kind: str, key: str, limit: int) -> list[tuple[Row, Touch]]:
    """Return the newest exchanges about a resource, or that name it elsewhere (a group's members), oldest first."""
    query = Query((Term("text", fold(key)),))
    rows = itertools.islice(reader.exchanges(query=query, newest_first=True, limit=_CANDIDATES), limit)
    return [(row, "about" if _is_about(row, kind, key) else "mentions") for row in rows][::-1]


def before_and_after(reader: Reader, exchange: Exchange) -> dict[str, Any]:
    """Return the resource that an exchange is about, as seen before it, and as its answer (or the next) tells it.

    Each is None where it is not known; `from` names the exchange whose answer told it.
    """
    operation = operation_of(exchange)
    key, kind = operation.resource_id, operation.resource_type
    found: dict[str, Any] = {"type": kind, "id": key, "before": None, "after": None, "gone": False}
    if key is None or exchange.id is None:
        return found
    status = 0 if exchange.response is None else exchange.response.status_code
    if operation.kind != "create" or status >= 400:
        found["before"] = _told(reader, exchange.run_id, key, before=exchange.id)
    found["gone"] = operation.kind == "delete" and 200 <= status < 300
    if not found["gone"]:
        found["after"] = _resource(exchange, key) or _told(reader, exchange.run_id, key, after=exchange.id)
    return found


def _is_about(row: Row, kind: str, key: str) -> bool:
    return row.resource_id == key and (not kind or row.resource_type == kind)


def _told(
    reader: Reader, run: int | None, key: str, *, before: int | None = None, after: int | None = None
) -> dict[str, Any] | None:
    """Return the resource as the nearest exchange of the same run, before or after, tells it."""
    query = Query((Term("text", fold(key)),))
    rows = reader.exchanges(run, query, before=before, after=after, newest_first=after is None, limit=_LOOKED_AT)
    for row in rows:
        if row.resource_id != key:
            continue
        if row.kind in {"delete", "create"} and row.status_code is not None and row.status_code < 300:
            whole = reader.exchange(row.id)
            return None if whole is None or row.kind == "delete" else _resource(whole, key)
        whole = reader.exchange(row.id)
        told = None if whole is None else _resource(whole, key)
        if told is not None:
            return told
    return None


def _resource(exchange: Exchange, key: str) -> dict[str, Any] | None:
    clean, _ = redact(exchange)
    if clean.response is None or clean.response.status_code >= 300:
        return None
    value = resource_in(clean.response.content, clean.response.headers)
    if value is None or value.get("id") != key:
        return None
    return {"from": exchange.id, "text": json.dumps(value, indent=2, ensure_ascii=False)}
