"""`scimproxy load`: a run sent again by many virtual users; and the options of that, for other commands.

One rule: Locust makes the load and the figures; the token reaches it through its environment only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scimproxy.cli.options import DURATION, Number, db_option, json_option, open_reader, resolve_run
from scimproxy.errors import UsageError

if TYPE_CHECKING:
    from scimproxy.exchange import Exchange, Run

__all__ = ["load_command", "load_options", "run_load"]


def load_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a load: `--users`, `--spawn-rate`, `--duration`, `--pause`, `--processes`, `--report`."""
    for option in reversed(
        (
            click.option(
                "--users", type=Number(1, 1_000_000), help="Virtual users, each with names and ids of its own."
            ),
            click.option(
                "--spawn-rate", type=click.FloatRange(0.01, 10_000), help="Users started a second.  [users / 10]"
            ),
            click.option("--duration", type=DURATION, help="How long, like 30s or 5m.  [default: until Ctrl-C]"),
            click.option(
                "--pause",
                type=click.FloatRange(0, 3600),
                default=0.0,
                show_default=True,
                help="Seconds that a user waits after the last request.",
            ),
            click.option("--processes", type=Number(-1, 256), help="Processes of Locust; -1 is one a core."),
            click.option(
                "--report",
                type=click.Path(dir_okay=False, path_type=Path),
                help="Write Locust's HTML report to this file.",
            ),
        )
    ):
        function = option(function)
    return function


@click.command("load", no_args_is_help=True)
@click.argument("run")
@click.option("--to", "target", metavar="URL", help="Base URL of the SCIM server.  [default: the recorded one]")
@click.option(
    "--auth", help="The whole Authorization value, like 'Bearer TOKEN'; - reads it from stdin. Or SCIM_AUTH."
)
@click.option("--filter", "text", metavar="FILTER", help="Only what fits; see `scimproxy help filters`.")
@load_options
@db_option
@json_option("Locust's figures")
def load_command(
    run: str,
    *,
    target: str | None,
    auth: str | None,
    text: str | None,
    db: Path,
    as_json: bool,
    **given: Any,  # noqa: ANN401 - click's options
) -> None:
    """Send RUN again and again by many virtual users, with Locust (pip install 'scimproxy[load]').

    \b
    scimproxy load last --to http://127.0.0.1:8000/scim/v2 --auth - \\
      --users 200 --duration 5m --report load.html

    Each virtual user sends the whole run in order, takes ids from its own answers, and puts digits into the names
    that have to be new. A request fails where its status is not the recorded one. Many machines: export the run
    with `--format locust` and start Locust's master and workers on it (docs/exports.md).

    Exit code 0: no request failed; 1: some did; 3: Locust could not run.
    """  # noqa: D301 - \b is click's mark: keep these lines
    from scimproxy.cli.files import fitting
    from scimproxy.query import parse_query

    query = None if text is None else parse_query(text)
    with open_reader(db) as reader:
        chosen = resolve_run(reader, run)
        code = run_load(chosen, fitting(reader, chosen, query), target=target, auth=auth, as_json=as_json, **given)
    click.get_current_context().exit(code)


def run_load(
    run: Run,
    exchanges: Iterable[Exchange],
    *,
    target: str | None,
    auth: str | None,
    users: int | None,
    spawn_rate: float | None,
    duration: float | None,
    pause: float,
    processes: int | None,
    report: Path | None,
    as_json: bool = False,
) -> int:
    """Hand a run to Locust and return the exit code; the keywords are those of `load_options`."""
    from scimproxy.cli.terminal import plural, safe
    from scimproxy.exports.variables import plan
    from scimproxy.load import Load, run_locust, secrets_for
    from scimproxy.proxy.engine import Target

    planned = plan(run, exchanges)
    if not planned.sends:
        raise UsageError(f"run {run.id} holds no request that can be sent again")
    host = planned.base_url if target is None else str(Target.parse(target))
    if report is not None and not report.parent.is_dir():
        raise UsageError(f"{report.parent} is no folder", hint="choose another --report")
    secrets = secrets_for(planned, _auth(auth), os.environ)
    users = users or 1
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


def _auth(text: str | None) -> str | None:
    if text != "-":
        return text
    value: str = (
        click.prompt("Authorization", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    )
    if not value.strip():
        raise UsageError(
            "--auth -: nothing came on stdin", hint="printf 'Bearer TOKEN' | scimproxy load ... --auth -"
        )
    return value.strip()
