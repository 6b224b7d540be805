"""`scimproxy prune`: delete old runs; says what would go before anything goes."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scimproxy.cli.options import SIZE, Number, db_option, json_option
from scimproxy.errors import UsageError

if TYPE_CHECKING:
    from scimproxy.store.prune import Pruned

__all__ = ["prune_command"]

_LISTED = 20


@click.command("prune")
@db_option
@click.option("--keep-days", type=click.FloatRange(0), metavar="DAYS", help="Delete runs that ended before that.")
@click.option("--keep-runs", type=Number(0), metavar="N", help="Delete all but the newest N runs.")
@click.option("--max-size", type=SIZE, help="Delete the oldest runs until the file is this small, like 500M.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option("the result")
def prune_command(
    *,
    db: Path,
    keep_days: float | None,
    keep_runs: int | None,
    max_size: int | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Delete old runs and give their space back; a run that is being recorded stays.

    With several conditions a run goes when any of them says so.
    """
    from scimproxy.cli.terminal import echo_json
    from scimproxy.store.prune import prune

    if keep_days is None and keep_runs is None and max_size is None:
        raise UsageError(
            "say what to keep: --keep-days, --keep-runs or --max-size",
            hint="try it with --dry-run; like --keep-runs 20",
        )
    conditions: dict[str, Any] = {"keep_days": keep_days, "keep_runs": keep_runs, "max_size": max_size}
    plan = prune(db, now=time.time(), **conditions, dry_run=True)
    if not as_json:
        _say(plan)
    if dry_run or not plan.run_ids:
        if as_json:
            echo_json(_as_dict(plan))
        return
    if not yes and not _agreed():
        click.echo("Nothing was deleted.", err=True)
        return
    done = prune(db, now=time.time(), **conditions)
    if as_json:
        echo_json(_as_dict(done))
    else:
        from scimproxy.cli.terminal import plural, size

        freed = f"the file went from {size(done.size_before)} to {size(done.size_after)}"
        click.echo(
            f"Deleted {plural(done.runs, 'run')} with {plural(done.exchanges, 'exchange')}; {freed}.", err=True
        )


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise UsageError("nobody is there to ask", hint="pass --yes to delete, or --dry-run to only look")
    return click.confirm("Delete them?", err=True)


def _say(plan: Pruned) -> None:
    from scimproxy.cli.terminal import plural, size

    if not plan.run_ids:
        click.echo(f"Nothing to delete; the file has {size(plan.size_before)}.", err=True)
        return
    listed = ", ".join(map(str, plan.run_ids[:_LISTED])) + (", ..." if plan.runs > _LISTED else "")
    what = f"{plural(plan.runs, 'run')} ({listed}) with {plural(plan.exchanges, 'exchange')}"
    click.echo(f"Would delete {what}, about {size(plan.bytes)}.", err=True)


def _as_dict(result: Pruned) -> dict[str, Any]:
    return {
        "dry_run": result.dry_run,
        "run_ids": list(result.run_ids),
        "exchanges": result.exchanges,
        "bytes": result.bytes,
        "size_before": result.size_before,
        "size_after": result.size_after,
    }
