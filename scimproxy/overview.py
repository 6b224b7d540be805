"""A run and an exchange in short, as JSON: the same for `--json`, for the inspector's list and for its API.

One rule: no headers, no contents, so nothing here can hold a secret that the store does not show in its lists.
"""

from __future__ import annotations

from typing import Any

from scimproxy import amounts
from scimproxy.exchange import Run
from scimproxy.store import Row

__all__ = ["exchange_json", "iso", "run_json"]


def iso(at: float | None) -> str | None:
    """Return a moment as ISO 8601 text, UTC, with milliseconds; None for one that is not known."""
    return amounts.iso(at) or None


def exchange_json(row: Row) -> dict[str, Any]:
    """Return the overview of an exchange for programs: no headers and no contents."""
    failure = row.failure
    return {
        "id": row.id,
        "seq": row.seq,
        "run_id": row.run_id,
        "state": row.state,
        "origin": row.origin,
        "started_at": iso(row.started_at),
        "client": row.client,
        "method": row.method,
        "target": row.target,
        "host": row.host,
        "status_code": row.status_code,
        "failure": None
        if failure is None
        else {"kind": failure.kind, "phase": failure.phase, "side": failure.side, "message": failure.message},
        "operation": {
            "kind": row.kind,
            "is_scim": row.is_scim,
            "resource_type": row.resource_type,
            "resource_id": row.resource_id,
            "resource_name": row.resource_name,
            "summary": row.summary,
        },
        "total_ms": row.total_ms,
        "request_bytes": row.request_size,
        "response_bytes": row.response_size,
        "note": row.note,
        "tags": list(row.tags),
    }


def run_json(run: Run) -> dict[str, Any]:
    """Return a run for programs."""
    return {
        "id": run.id,
        "kind": run.kind,
        "name": run.name,
        "started_at": iso(run.started_at),
        "ended_at": iso(run.ended_at),
        "target": run.target,
        "public_url": run.public_url,
        "engine": run.engine,
        "exchanges": run.exchange_count,
        "lost": run.lost,
        "version": run.version,
        "note": run.note,
    }
