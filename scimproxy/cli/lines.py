"""One exchange as one line, and as one JSON object: the same in `up`, `log --follow`, `demo` and `search`.

One rule: a line fits the terminal and holds nothing that commands it.
"""

from __future__ import annotations

import click

from scimproxy.cli.terminal import clock, duration, fit, safe, status_colour, terminal_width, width_of
from scimproxy.overview import exchange_json, iso, run_json
from scimproxy.store import Row

__all__ = ["exchange_json", "exchange_line", "iso", "outcome", "run_json"]

_CLIENT_WIDTH = 13
_STATUS_WIDTH = 5
_TIME_WIDTH = 7
_ID_WIDTH = 5
_LEAST_NAME = 4


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
