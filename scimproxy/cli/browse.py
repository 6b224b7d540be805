"""`scimproxy runs`, `log` and `search`: lists out of the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scimproxy.cli.options import Number, db_option, json_option, open_reader, resolve_run

if TYPE_CHECKING:
    from scimproxy.cli.terminal import Cell
    from scimproxy.exchange import Run, TunnelEvent
    from scimproxy.query import Query
    from scimproxy.store import Reader, Row

__all__ = ["log_command", "runs_command", "search_command"]

_FOLLOW_S = 0.2
_WIDE = 110
"""In so many columns there is room for a second URL in the list of runs."""


@click.command("runs")
@db_option
@click.option("--limit", default=50, show_default=True, type=Number(1), help="At most so many, the newest.")
@json_option("runs")
def runs_command(*, db: Path, limit: int, as_json: bool) -> None:
    """List the runs, the newest last.

    A run is what made exchanges: a recording, an import, the demo. In a wide
    terminal PUBLIC is the URL of its tunnel; `log` shows what became of that.
    """
    from scimproxy.cli.lines import run_json
    from scimproxy.cli.terminal import Column, echo_json, table, terminal_width

    with open_reader(db) as reader:
        runs = reader.runs(newest_first=True)[:limit][::-1]
    if as_json:
        for run in runs:
            echo_json(run_json(run))
        return
    if not runs:
        click.echo("No runs yet. Record one with `scimproxy up TARGET`, or see `scimproxy demo`.", err=True)
        return
    any_lost = any(run.lost for run in runs)
    any_public = terminal_width() >= _WIDE and any(run.public_url for run in runs)
    columns = [
        Column("RUN", "right"),
        Column("KIND"),
        Column("STARTED"),
        Column("EXCHANGES", "right"),
        *([Column("LOST", "right")] if any_lost else []),
        Column("NAME", flexible=True),
        Column("TARGET", flexible=True),
        *([Column("PUBLIC", flexible=True)] if any_public else []),
    ]
    table(columns, [_run_cells(run, with_lost=any_lost, with_public=any_public) for run in runs])


def _run_cells(run: Run, *, with_lost: bool, with_public: bool) -> list[Cell]:
    from scimproxy.cli.terminal import moment

    lost: list[Cell] = [(str(run.lost), "red") if run.lost else ""] if with_lost else []
    name = "" if run.target is not None and run.name in run.target else run.name  # named after its target
    started = moment(run.started_at)[:16]
    public = [run.public_url or ""] if with_public else []
    target = (run.target or "").removeprefix("http://")  # in 80 columns the port would be cut otherwise
    count = f"{run.exchange_count or 0:,}" if run.seen_in is None else f"in run {run.seen_in}"
    return [str(run.id), run.kind, started, count, *lost, name, target, *public]


@click.command("log")
@click.argument("run", required=False)
@db_option
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes in, until Ctrl-C.")
@click.option("--filter", "text", metavar="FILTER", help="Only what fits; see `scimproxy help filters`.")
@click.option("--limit", default=100, show_default=True, type=Number(1), help="At most so many, the newest.")
@json_option("exchanges")
def log_command(run: str | None, *, db: Path, follow: bool, text: str | None, limit: int, as_json: bool) -> None:
    """List the exchanges of RUN: an id, a name, or `last` (the default).

    What became of its tunnel stands between them, on stderr, where there is no filter.
    """
    from scimproxy.cli.terminal import Indexing
    from scimproxy.query import parse_query

    query = None if text is None else parse_query(text)
    with open_reader(db) as reader:
        chosen = resolve_run(reader, run)
        assert chosen.id is not None
        after = reader.newest_seq()
        reader.working = working = Indexing()
        rows = list(reader.exchanges(run_id=chosen.id, query=query, limit=limit, newest_first=True))[::-1]
        working.end()
        events = [] if text or as_json else reader.tunnel_events(chosen.id)
        _print_rows(_in_order(rows, events, whole=len(rows) < limit), as_json=as_json, with_host=_has_hosts(chosen))
        if follow:
            # Following a named run ends with Ctrl-C only: it may be continued by nobody, and that is fine.
            if not rows:
                _explain(query)
            shown = _follow(reader, chosen.id, after, query, None if text or as_json else len(events))
            try:
                _print_rows(shown, as_json=as_json, with_host=_has_hosts(chosen))
            except KeyboardInterrupt:
                return
        elif not rows:
            said = "fits the filter" if text else "was recorded"
            click.echo(f"Nothing {said} in run {chosen.id} ({chosen.name}).", err=True)
            _explain(query)
        elif len(rows) == limit and not as_json and (chosen.exchange_count or 0) > limit:
            click.echo(f"The newest {limit} of {chosen.exchange_count:,}; --limit shows more.", err=True)


@click.command("search")
@click.argument("text", nargs=-1, required=True)
@db_option
@click.option("--run", help="Only in this run: an id, a name, or `last`.")
@click.option("--limit", default=100, show_default=True, type=Number(1), help="At most so many, the newest.")
@json_option("exchanges")
def search_command(text: tuple[str, ...], *, db: Path, run: str | None, limit: int, as_json: bool) -> None:
    """Find TEXT in URLs, headers and decoded bodies of every run.

    Of each body the first 65,536 characters are searched. TEXT may hold terms of the filter
    language; see `scimproxy help filters`.
    """
    from scimproxy.cli.terminal import Indexing
    from scimproxy.query import parse_query

    query = parse_query(" ".join(text))
    with open_reader(db) as reader:
        run_id = None if run is None else resolve_run(reader, run).id
        reader.working = working = Indexing()
        found = list(reader.search(query, run_id=run_id, limit=limit + 1))
        working.end()
    _print_rows(found[:limit][::-1], as_json=as_json)
    if not found:
        click.echo("Nothing found.", err=True)
        _explain(query)
    elif len(found) > limit:
        click.echo(f"The newest {limit:,} of more; --limit shows more.", err=True)


def _explain(query: Query | None) -> None:
    """Say on stderr what may be the reason that nothing was found."""
    from scimproxy.query import BODY_CHARS

    if query is None:
        return
    if query.has_words:
        click.echo(f"Of each body the first {BODY_CHARS:,} characters are searched.", err=True)
    for doubt in query.doubts:
        click.echo(f"  Hint: {doubt}", err=True)


def _in_order(rows: list[Row], events: list[TunnelEvent], *, whole: bool) -> list[Row | TunnelEvent]:
    """Return exchanges and states of the tunnel by time; where exchanges are left out, so are the states before."""
    since = 0.0 if whole or not rows else rows[0].started_at
    moments: list[tuple[float, Row | TunnelEvent]] = [(event.at, event) for event in events if event.at >= since]
    return [one for _, one in sorted([*moments, *((row.started_at, row) for row in rows)], key=lambda pair: pair[0])]


def _has_hosts(run: Run) -> bool:
    """Whether the exchanges of a run may be of several servers: those of a forward proxy."""
    return run.target is None and run.kind == "record"


def _print_rows(rows: Iterable[Row | TunnelEvent], *, as_json: bool, with_host: bool = False) -> None:
    from scimproxy.cli.lines import exchange_json, exchange_line
    from scimproxy.cli.terminal import echo_json
    from scimproxy.cli.tunnel_lines import say_state
    from scimproxy.exchange import TunnelEvent

    for row in rows:
        if isinstance(row, TunnelEvent):
            say_state(row)
        elif as_json:
            echo_json(exchange_json(row))
        else:
            click.echo(exchange_line(row, with_host=with_host))


def _follow(
    reader: Reader, run_id: int, after: int, query: Query | None, told: int | None
) -> Iterator[Row | TunnelEvent]:
    """Give what is written to a run from now on, for ever; states of its tunnel too, after the first `told`.

    With None: none of its tunnel.
    """
    import time

    while True:
        if told is not None:
            events = reader.tunnel_events(run_id)[told:]
            told += len(events)
            yield from events
        rows = reader.changes(after=after, run_id=run_id)
        for row in rows:
            after = row.seq
            if query is None or _fits(reader, row, query):
                yield row
        if not rows:
            time.sleep(_FOLLOW_S)


def _fits(reader: Reader, row: Row, query: Query) -> bool:
    exchange = reader.exchange(row.id)
    return exchange is not None and query.matches(exchange, reader.operation(exchange))
