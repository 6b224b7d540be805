"""One exchange as one line, and as one JSON object: the same in `up`, `log --follow`, `demo` and `search`.

One rule: a line fits the terminal and holds nothing that commands it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from scimproxy.cli.terminal import clock, duration, fit, safe, status_colour, terminal_width, width_of
from scimproxy.exchange import Run
from scimproxy.store import Row

__all__ = ["exchange_json", "exchange_line", "iso", "outcome", "run_json"]

_CLIENT_WIDTH = 13
_STATUS_WIDTH = 5
_TIME_WIDTH = 7
_ID_WIDTH = 5
_LEAST_NAME = 4


def iso(at: float | None) -> str | None:
    """Return a moment as ISO 8601 text, UTC, with milliseconds."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def outcome(row: Row) -> tuple[str, str]:
    """Return what became of an exchange in a word, and its colour: the status, or why there is none."""
    if row.state == "pending":
        return "...", "cyan"
    if row.status_code is not None:
        mark = "" if row.failure is None else "!"  # the status is ours, not the server's
        return f"{row.status_code}{mark}", status_colour(row.status_code)
    if row.failure is not None:
        return "fail", "red"
    return "abort" if row.state == "aborted" else "none", "red"


def exchange_line(row: Row, *, with_host: bool = False) -> str:
    """Return an exchange as one line, as wide as the terminal: time, id, client, what it is, outcome, duration.

    `with_host` tells the server too, where there is more than one: behind a forward proxy.
    """
    word, colour = outcome(row)
    room = terminal_width() - (8 + _ID_WIDTH + _CLIENT_WIDTH + _STATUS_WIDTH + _TIME_WIDTH + 7)
    room = max(room, 12)
    host = f"{safe(row.host)}  " if with_host and row.host else ""
    summary = fit(host + _short_name(row, max(room - width_of(host), 12)), room)
    taken = "" if row.state == "pending" else duration(row.total_ms)
    return (
        f"{clock(row.started_at)}  {row.id:>{_ID_WIDTH}}  {fit(safe(row.client or '-'), _CLIENT_WIDTH)} "
        f"{summary} {click.style(f'{word:>{_STATUS_WIDTH}}', fg=colour)} {taken:>{_TIME_WIDTH}}"
    )


def _short_name(row: Row, room: int) -> str:
    """Return the summary; where a PATCH's is too long, name and type give way: what it changes matters more."""
    summary = safe(row.summary)
    name = safe(row.resource_name or row.resource_id or "")
    if width_of(summary) <= room or row.kind != "patch" or f" {name}:" not in summary:
        return summary
    before, _, after = summary.partition(f" {name}:")
    least = min(_LEAST_NAME, width_of(name))
    if width_of(f"{before} :{after}") + least > room:
        before = before.partition(" ")[0]
    left = room - width_of(f"{before} :{after}")
    return f"{before} {fit(name, min(width_of(name), max(least, left))).rstrip()}:{after}"


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
