"""`scimproxy replay RUN --users N`: a run sent again by many virtual users.

One rule: Locust makes the load and the figures; the token reaches it through its environment only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scimproxy.cli.options import DURATION, Number
from scimproxy.errors import UsageError

if TYPE_CHECKING:
    from scimproxy.exchange import Exchange, Run
    from scimproxy.exports.variables import Plan

__all__ = ["LOAD_OPTIONS", "load_options", "run_load"]

LOAD_OPTIONS = ("users", "spawn_rate", "duration", "pause", "processes", "report")
"""The parameters that `load_options` adds."""


def load_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a load: `--users`, `--spawn-rate`, `--duration`, `--pause`, `--processes`, `--report`."""
    for option in reversed(
        (
            click.option(
                "--users",
                type=Number(1, 1_000_000),
                metavar="N",
                help="Let so many virtual users send the run again and again, each with names and ids of its own.",
            ),
            click.option(
                "--spawn-rate",
                type=click.FloatRange(0.01, 10_000),
                metavar="N",
                help="Users started a second.  [users / 10]",
            ),
            click.option("--duration", type=DURATION, help="How long, like 30s or 5m.  [default: until Ctrl-C]"),
            click.option(
                "--pause",
                type=click.FloatRange(0, 3600),
                default=0.0,
                show_default=True,
                help="Seconds that a user waits after the last request.",
            ),
            click.option(
                "--processes", type=Number(-1, 256), metavar="N", help="Processes of Locust; -1 is one a core."
            ),
            click.option(
                "--report",
                type=click.Path(dir_okay=False, path_type=Path),
                help="Write Locust's HTML report to this file.",
            ),
        )
    ):
        function = option(function)
    return function


def run_load(
    run: Run,
    exchanges: Iterable[Exchange],
    *,
    target: str | None,
    auth: str | None,
    users: int,
    spawn_rate: float | None,
    duration: float | None,
    pause: float,
    processes: int | None,
    report: Path | None,
    as_json: bool = False,
) -> int:
    """Hand a run to Locust and return the exit code; the keywords are those of `load_options`.

    `auth` is the whole Authorization value; without it, the environment is asked for SCIM_AUTH.
    """
    from scimproxy.cli.terminal import plural, safe
    from scimproxy.exports.variables import plan
    from scimproxy.load import Load, need_locust, run_locust, secrets_for
    from scimproxy.proxy.engine import Target

    need_locust()
    planned = plan(run, exchanges)
    if not planned.sends:
        raise UsageError(f"run {run.id} holds no request that can be sent again")
    host = str(Target.parse(target)) if target is not None else _recorded(run, planned)
    if report is not None and not report.parent.is_dir():
        raise UsageError(f"{report.parent} is no folder", hint="choose another --report")
    secrets = secrets_for(planned, auth, os.environ)
    click.echo(
        f"{plural(users, 'virtual user')} on {plural(len(planned.sends), 'request')} of run {run.id}"
        f" against {safe(host)}: Locust's figures follow.",
        err=True,
    )
    load = Load(
        host=host,
        users=users,
        spawn_rate=spawn_rate,
        duration_s=duration,
        report=report,
        pause_s=pause,
        processes=processes,
        as_json=as_json,
        secrets=secrets,
    )
    code = run_locust(planned, load)
    if report is not None and report.exists():
        click.echo(f"Locust's report: {report}", err=True)
    return code


def _recorded(run: Run, planned: Plan) -> str:
    """Return the base URL of the server that a run went to: never what its requests say, as an imported file may."""
    from urllib.parse import urlsplit

    from scimproxy.proxy.engine import Target

    if run.target is None:
        raise UsageError(
            f"run {run.id} names no server that it went to",
            hint="say where to send it: --to http://127.0.0.1:8000/scim/v2",
        )
    target = Target.parse(run.target)
    return str(target) if target.base_path else f"{target.origin}{urlsplit(planned.base_url).path}"
