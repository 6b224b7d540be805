"""`scimproxy drill NAME`: let named things go wrong between a client and a server, and say how both came through.

One rule: the exit code is the verdict: 0 all that was tried passed, 1 something failed, 3 nothing was tried.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scimproxy.cli.group import INTERRUPTED
from scimproxy.cli.options import DURATION, Number, auth_option, db_option, json_option
from scimproxy.errors import UsageError

if TYPE_CHECKING:
    from scimproxy.app import Event
    from scimproxy.drill_run import Drilled, DrillOptions
    from scimproxy.drills import Drill
    from scimproxy.faults import Fault
    from scimproxy.suite_run import SuiteOptions

__all__ = ["drill_command"]

_RETRIES = 6
_COLOURS = {"pass": "green", "fail": "red", "untried": "yellow"}


@click.command("drill")
@click.argument("name", required=False)
@click.argument("target", required=False)
@click.option("--live", is_flag=True, help="Wait for a client of yours, until Ctrl-C or --for.")
@click.option("--for", "for_s", type=DURATION, metavar="5m", help="live: end after this.")
@click.option("--suite", default="lifecycle", show_default=True, help="The suite to run through the faults.")
@auth_option
@click.option("--fault", "faults", multiple=True, metavar="FAULT", help="These faults, not the drill's. Repeatable.")
@click.option("--port", default=0, type=Number(0, 65535), metavar="PORT", help="Listen here.  [default: any]")
@click.option(
    "--engine", type=click.Choice(["auto", "native", "mitmproxy"]), default="auto", show_default=True,
    help="What carries the traffic.",
)  # fmt: skip
@click.option("--insecure", is_flag=True, help="Do not verify the server's certificate.")
@click.option("--ca", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="CA file to trust.")
@db_option
@json_option("the report")
def drill_command(
    name: str | None,
    target: str | None,
    *,
    db: Path,
    as_json: bool,
    **given: Any,  # noqa: ANN401 - click's options
) -> None:
    """Run the drill NAME against the SCIM server at TARGET, or list the drills.

    scimproxy drill okta http://127.0.0.1:8000/scim/v2 --auth env:AUTH

    A suite runs through the recorder while things go wrong (`scimproxy help faults`), with a client that tries again
    as Okta does. Or, with --live, a client of yours comes. Then the recording and the server are asked: was
    everything created once, did the client come again and wait as told, is everything as it was written last?
    Exit code 0: what was tried passed; 1: something failed; 3: nothing was tried.
    """
    from scimproxy.drills import DRILLS

    if name is None:
        _list(as_json=as_json)
        return
    if name not in DRILLS:
        from difflib import get_close_matches

        near = get_close_matches(name, DRILLS, n=1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"there is no drill {name!r}{meant}", hint="`scimproxy drill` lists them")
    if target is None:
        raise UsageError(
            "TARGET is missing", hint=f"write it like scimproxy drill {name} http://127.0.0.1:8000/scim/v2"
        )
    drilled = _drill(DRILLS[name], target, db, given, as_json=as_json)
    _report(name, drilled, as_json=as_json)
    if drilled.at_once or (drilled.suite is None and not given["live"]):
        click.get_current_context().exit(INTERRUPTED)
    click.get_current_context().exit({"pass": 0, "fail": 1}.get(drilled.report.verdict, 3))


def _list(*, as_json: bool) -> None:
    from scimproxy.cli.terminal import echo_json
    from scimproxy.drills import DRILLS

    for name, drill in DRILLS.items():
        if as_json:
            echo_json({"name": name, "what": drill.what, "suite": list(drill.suite), "live": list(drill.live)})
            continue
        click.secho(name, bold=True)
        click.echo(click.wrap_text(drill.what, 78, "  ", "  "))
        for title, faults in (("suite", drill.suite), ("--live", drill.live)):
            for text in faults:
                click.echo(f"    {title:<8}{text}")


def _drill(drill: Drill, target: str, db: Path, given: dict[str, Any], *, as_json: bool) -> Drilled:
    from scimproxy.app import Stop, run_in_loop
    from scimproxy.drill_run import drill as play

    options = _options(drill, target, db, given)

    async def whole() -> Drilled:
        return await play(options, _teller(options, as_json=as_json), Stop())

    return run_in_loop(whole(), options.record.engine_chosen)


def _options(drill: Drill, target: str, db: Path, given: dict[str, Any]) -> DrillOptions:
    from scimproxy.app import RecordOptions, refuse_loop
    from scimproxy.cli.reading import read_auth
    from scimproxy.drill_run import DrillOptions
    from scimproxy.proxy.engine import Address, EngineOptions, Target

    live = given["live"]
    if given["for_s"] is not None and not live:
        raise UsageError("--for is for --live", hint="a suite ends by itself")
    faults = _faults(drill, given["faults"], live=live)
    auth = read_auth(given["auth"])
    upstream = Target.parse(target)
    make = _suite(given, db, auth)
    engine = EngineOptions(
        target=upstream,
        listen_port=given["port"],
        insecure_upstream=given["insecure"],
        upstream_ca=given["ca"],
        response_timeout_s=120.0,
    )
    refuse_loop(engine, Address("127.0.0.1", given["port"]))
    if not live:
        _look(make(str(upstream)))
    return DrillOptions(
        record=RecordOptions(
            engine=engine, db=db, name=f"drill {drill.name}", engine_name=given["engine"], tell_all=True
        ),
        faults=faults,
        suite=None if live else make,
        for_s=given["for_s"],
        auth=auth,
        insecure=given["insecure"],
        ca=given["ca"],
    )


def _look(suite: SuiteOptions) -> None:
    """Tell what is wrong with the suite or the server before anything starts.

    Raises:
        ScimproxyError: the suite misses something, or nothing answers there.
    """
    import asyncio

    from scimproxy.cli.run import inspect, look_ahead

    look_ahead(suite, "a drill takes the suite's variables from --auth and its own file")
    asyncio.run(inspect(suite, seed=False))


def _faults(drill: Drill, texts: tuple[str, ...], *, live: bool) -> tuple[Fault, ...]:
    from scimproxy.drills import faults_of
    from scimproxy.faults import parse_fault

    if texts:
        return tuple(parse_fault(text) for text in texts)
    found = faults_of(drill, live=live)
    if not found:
        raise UsageError(
            f"the drill {drill.name!r} needs a client of yours: no bundled suite does what it is about",
            hint="add --live, and let the client come through scimproxy",
        )
    return found


def _suite(given: dict[str, Any], db: Path, auth: str | None) -> Callable[[str], SuiteOptions]:
    """Return what makes the suite's options for a URL, with a client that tries again."""
    from dataclasses import replace

    from scimproxy.cli.run import _options as suite_options

    def make(url: str) -> SuiteOptions:
        values = {
            "test_name": None, "scripts": (), "environment": None, "env_file": None, "target": url, "auth": auth,
            "variables": (), "secret_names": (), "steps": None, "stop_on_failure": False, "pause_scale": 0.0,
            "timeout": 120.0, "insecure": given["insecure"], "ca": given["ca"], "keep_secrets": False,
        }  # fmt: skip
        return replace(suite_options(given["suite"], db, values), retries=_RETRIES)

    return make


def _teller(options: DrillOptions, *, as_json: bool) -> Callable[[Event], None]:
    """Return what tells a person how it goes; a program gets the report alone."""
    from scimproxy import events
    from scimproxy.cli.lines import exchange_line
    from scimproxy.cli.printer import notice
    from scimproxy.cli.terminal import safe

    def tell(event: Event) -> None:
        if isinstance(event, events.Notice):
            notice("warning", event.message, event.hint)
        elif isinstance(event, events.Ready):
            click.secho(f"Drill through {event.url}, with these faults:", bold=True, err=True)
            for fault in options.faults:
                click.echo(f"  {safe(fault.text)}", err=True)
            if options.suite is None:
                click.echo("\nPoint the client there. Ctrl-C ends the drill.\n", err=True)
        elif isinstance(event, events.Seen) and event.row.state != "pending" and not as_json:
            click.echo(exchange_line(event.row), err=True)

    return tell


def _report(name: str, drilled: Drilled, *, as_json: bool) -> None:
    from scimproxy.cli.terminal import Column, echo_json, plural, safe, table

    report, suite = drilled.report, drilled.suite
    if as_json:
        echo_json(
            {
                "drill": name,
                "verdict": report.verdict,
                "checks": [
                    {"name": one.name, "verdict": one.verdict, "why": one.why, "exchanges": list(one.exchanges)}
                    for one in report.checks
                ],
                "faults": [{"fault": text, "fired": fired} for text, fired in report.fired],
                "run_id": drilled.run_id,
                "asked_run_id": drilled.asked_run_id,
                "suite": None if suite is None else {"run_id": suite.run_id, "result": suite.result},
                "removed": drilled.removed,
            }
        )
        return
    click.echo(err=True)
    table(
        [Column("Check"), Column("Verdict"), Column("Exchanges", flexible=True)],
        [
            (check.name, (check.verdict, _COLOURS[check.verdict]), " ".join(map(str, check.exchanges)))
            for check in report.checks
        ],
    )
    click.echo()
    for check in report.checks:
        click.echo(click.wrap_text(safe(f"{check.name}: {check.why}"), 80, "", "  "))
    never = [text for text, fired in report.fired if not fired]
    for text in never:
        click.echo(click.style("Note:", fg="yellow") + f" never fired: {safe(text)}", err=True)
    if suite is not None:
        click.echo(f"The suite: {suite.result} (scimproxy results {suite.run_id})", err=True)
    if drilled.removed:
        click.echo(f"{plural(drilled.removed, 'resource')} that the drill left behind removed again", err=True)
    asked = f", {drilled.asked_run_id} (asked afterwards)" if drilled.asked_run_id is not None else ""
    click.echo(
        f"Runs {drilled.run_id} (the drill){asked}: scimproxy log {drilled.run_id}, scimproxy show ID", err=True
    )
