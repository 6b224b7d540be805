"""`scimproxy suites` and `scimproxy results`: what can be run, and how a run came out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scimproxy.cli.options import db_option, json_option, open_reader, resolve_run
from scimproxy.errors import UsageError

if TYPE_CHECKING:
    from scimproxy.store import Reader
    from scimproxy.suite.results import SuiteResult

__all__ = ["results_command", "suites_command"]

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("suites")
@json_option("the suites")
def suites_command(*, as_json: bool) -> None:
    """List the bundled suites. Their files are in Runscope's format and import there too."""
    from scimproxy.cli.terminal import Column, echo_json, table
    from scimproxy.suite.library import bundled
    from scimproxy.suite.model import RequestStep, all_steps
    from scimproxy.suite.runscope import parse

    rows = []
    for name, path in bundled().items():
        (suite,) = parse(path.read_bytes())
        requests = [step for step in all_steps(suite.steps) if isinstance(step, RequestStep)]
        rows.append((name, suite, requests, path))
    if as_json:
        for name, suite, requests, path in rows:
            echo_json(
                {
                    "name": name,
                    "title": suite.name,
                    "description": suite.description,
                    "requests": len(requests),
                    "assertions": sum(len(step.assertions) for step in requests),
                    "file": str(path),
                }
            )
        return
    table(
        [Column("NAME"), Column("REQUESTS", "right"), Column("WHAT", flexible=True)],
        [[name, str(len(requests)), suite.description] for name, suite, requests, _ in rows],
    )
    click.echo("\nRun one: scimproxy run NAME --target URL --auth env:AUTH", err=True)


@click.command("results")
@click.argument("run", required=False)
@db_option
@click.option("--failed", is_flag=True, help="Only steps that did not pass.")
@click.option("--junit", type=_FILE, help="Write JUnit XML to this file.")
@click.option("--html", type=_FILE, help="Write one HTML file with everything.")
@click.option("--markdown", type=_FILE, help="Write Markdown for a pull request.")
@json_option("the result, with Runscope's names,")
def results_command(run: str | None, *, db: Path, failed: bool, as_json: bool, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Show how the suite of RUN came out: an id, a name, or `last`, the newest suite's (the default)."""
    from scimproxy.cli.reports import check_places, write_reports
    from scimproxy.cli.suite_lines import print_step, print_summary
    from scimproxy.cli.terminal import echo_json, moment, safe
    from scimproxy.report.suites import runscope_json

    check_places(given)
    with open_reader(db) as reader:
        result = _find(reader, run)
    write_reports(result, db, given)
    if as_json:
        echo_json(runscope_json(result))
        return
    click.secho(f"{safe(result.name)}, {moment(result.started_at)}, {safe(result.target or '-')}", bold=True)
    for step in result.steps:
        if not failed or not step.passed:
            print_step(step)
    print_summary(result, db)


def _find(reader: Reader, text: str | None) -> SuiteResult:
    if text is None or text == "last":
        for run in reader.runs(newest_first=True):
            if run.kind == "suite" and run.id is not None and (result := reader.suite(run.id)) is not None:
                return result
        raise UsageError("the database holds no suite's run", hint="make one with `scimproxy run SUITE`")
    chosen = resolve_run(reader, text)
    assert chosen.id is not None
    found = reader.suite(chosen.id)
    if found is None:
        raise UsageError(
            f"run {chosen.id} ({chosen.name}) is no suite's, but of kind {chosen.kind}",
            hint="`scimproxy runs` lists them; `scimproxy log` shows other runs",
        )
    return found
