"""`scimproxy match`: the runs of a suite that somebody else made, as a recording holds them, step by step.

One rule: it only reads: nothing is sent or stored, and what a recording does not hold is said to be not known.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from scimproxy.cli.options import db_option, json_option, open_reader, resolve_run
from scimproxy.errors import UsageError

if TYPE_CHECKING:
    from scimproxy.exchange import Run
    from scimproxy.store import Reader
    from scimproxy.suite_follow import Followed, FollowOptions

__all__ = ["match_command"]


@click.command("match", no_args_is_help=True)
@click.argument("run", required=False)
@click.option("--suite", "suite_name", required=True, metavar="SUITE", help="Its file, or the name of a bundled one.")
@click.option("--test", "test_name", metavar="NAME", help="Which test, where the file holds several.")
@click.option(
    "--client",
    "clients",
    multiple=True,
    metavar="LABEL",
    help="Who ran it (`scimproxy help clients`), or any. Repeatable.  [default: runscope, okta-runscope]",
)
@click.option("--failed", is_flag=True, help="Only steps that did not pass.")
@db_option
@json_option("the runs that were seen, with Runscope's names,")
def match_command(
    run: str | None,
    *,
    suite_name: str,
    test_name: str | None,
    clients: tuple[str, ...],
    failed: bool,
    db: Path,
    as_json: bool,
) -> None:
    """Judge the runs of SUITE that Runscope made through the recording RUN: an id, a name, or `last` (the default).

    scimproxy match last --suite Okta-SCIM-20-SPEC-Test.json

    Each request is given to the step it belongs to, and each step is judged as `run` would. Variables are
    learned from what was sent; what depends on a value that nothing tells is not known, and said so. Exit
    code 0: all runs passed; 1: something failed; 3: something is not known, did not come, or no run was seen.
    """
    from scimproxy.cli.suite_lines import print_step, print_summary
    from scimproxy.cli.terminal import echo_json, moment, plural, safe
    from scimproxy.clients import LABELS
    from scimproxy.report.suites import runscope_json
    from scimproxy.suite.following import RUNNERS
    from scimproxy.suite.library import choose_test, find_suite, read_bounded, tests_of
    from scimproxy.suite_follow import FollowOptions

    unknown = sorted(set(clients) - {*LABELS, "any"})
    if unknown:
        raise UsageError(f"there is no client {unknown[0]!r}", hint="`scimproxy help clients` lists them; or any")
    path = find_suite(suite_name)
    suite = choose_test(tests_of(read_bounded(path), str(path)), test_name, str(path))
    with open_reader(db) as reader:
        recording = _newest(reader) if run is None or run == "last" else resolve_run(reader, run)
    assert recording.id is not None
    options = FollowOptions(
        db=db,
        run_id=recording.id,
        suite=suite,
        source=suite_name if path.name == f"{suite_name}.json" else path.name,
        clients=None if "any" in clients else frozenset(clients) or RUNNERS,
        keeps=False,
    )
    found, looked_at = _follow(options, recording.exchange_count or 0)
    results = [one.result(options, recording.target) for one in found]
    if as_json:
        echo_json(
            {
                "run_id": recording.id,
                "suite": suite.name,
                "exchanges": looked_at,
                "runs": [
                    {**runscope_json(result), "exchange_ids": one.attempt.exchange_ids}
                    for one, result in zip(found, results, strict=True)
                ],
            }
        )
    for result in [] if as_json else results:
        click.secho(f"{safe(result.name)}, {moment(result.started_at)}, seen in run {recording.id}", bold=True)
        for step in result.steps:
            if not failed or not step.passed:
                print_step(step)
        print_summary(result, db)
    if not results:
        click.echo(
            f"No run of {safe(suite.name or suite_name)} is among {plural(looked_at, 'exchange')} of run"
            f" {recording.id}.",
            err=True,
        )
        click.echo("  Hint: --client any looks at all of them, not only at Runscope's.", err=True)
    outcomes = {result.result for result in results}
    code = 1 if "fail" in outcomes else 0 if outcomes == {"pass"} else 3
    click.get_current_context().exit(code)


def _newest(reader: Reader) -> Run:
    """Return the newest run that others made: a suite's run of ours is judged already."""
    for run in reader.runs(newest_first=True):
        if run.kind in {"record", "demo", "import"}:
            return run
    raise UsageError("the database holds no recording", hint="record one with `scimproxy up TARGET`")


def _follow(options: FollowOptions, total: int) -> tuple[list[Followed], int]:
    import asyncio

    from scimproxy.cli.progress import progress_bar
    from scimproxy.suite.script import ScriptEngine
    from scimproxy.suite_follow import SuiteFollowing
    from scimproxy.suite_run import Sandbox

    found: dict[int, Followed] = {}

    async def go() -> int:
        with ScriptEngine() as engine, progress_bar("Looking for the suite", total) as moved:
            following = SuiteFollowing(options, Sandbox(engine), lambda one: found.update({one.attempt.number: one}))
            following.moved = moved
            await following.catch_up()
            await following.finish()
            return following.looked_at

    looked_at = asyncio.run(go())
    return [found[number] for number in sorted(found)], looked_at
