"""A suite's run as lines: each step as it ends, what failed in it and why, and the sum at the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scimproxy.cli.terminal import duration, plural, safe, safe_block, terminal_width
from scimproxy.suite.effects import Began, Ended
from scimproxy.suite.results import StepResult, SuiteResult

if TYPE_CHECKING:
    from scimproxy.suite.hints import Why
    from scimproxy.suite_run import News, Started

__all__ = ["Teller", "print_step", "print_summary"]

_MARKS = {
    "pass": ("pass", "green"),
    "fail": ("FAIL", "red"),
    "error": ("ERROR", "magenta"),
    "skipped": ("skip", "yellow"),
    "canceled": ("-", "yellow"),
}
_LONGEST = 400


class Teller:
    """Prints what a run tells; `progress` is a bar of rich or None, `quiet` keeps stdout for data.

    `chosen`: the user chose steps; then those that were left out need no line. `inspector` is where the run can be
    followed, with the token in the fragment: said once, on stderr.
    """

    def __init__(
        self,
        progress: Any,  # noqa: ANN401 - rich is imported late
        *,
        quiet: bool,
        chosen: bool = False,
        inspector: str | None = None,
    ) -> None:
        self._progress = progress
        self._quiet = quiet
        self._chosen = chosen
        self._inspector = inspector

    def __call__(self, news: News) -> None:
        """Print a piece of news."""
        if isinstance(news, Began):
            if self._progress is not None:
                self._progress.update(0, description=safe(f"{news.number}. {news.title}")[: terminal_width() - 50])
        elif isinstance(news, Ended):
            if not (self._chosen and news.result.result == "skipped"):
                print_step(news.result, err=self._quiet)
            if self._progress is not None and "." not in news.result.number and news.result.number != "0":
                self._progress.advance(0)
        else:
            self._started(news)

    def _started(self, news: Started) -> None:
        if self._inspector is not None:
            click.echo(f"Inspector {self._inspector.replace('#', f'runs/{news.run.id}#', 1)}", err=True)
        if not self._quiet:
            target = f" against {news.run.target}" if news.run.target else ""
            click.secho(f"{safe(news.run.name)}{safe(target)}: {plural(news.steps, 'step')}", bold=True, err=True)

    def summary(self, result: SuiteResult, db: Path) -> None:
        """Print how it came out."""
        print_summary(result, db, err=self._quiet)


def print_step(step: StepResult, *, err: bool = False) -> None:
    """Print a step: one line, and under it what did not pass; pauses that passed are not worth a line."""
    from scimproxy.report.suites import problems

    if step.step_type == "pause" and step.result in {"pass", "skipped"}:
        return
    mark, colour = _MARKS[step.result]
    status = "" if step.status_code is None else str(step.status_code)
    taken = "" if step.response_time_ms is None else f"{step.response_time_ms} ms"
    name = safe(step.note.strip() or (f"{step.method} {step.url}" if step.url else step.step_type))
    click.echo(f"{click.style(f'{mark:<5}', fg=colour)} {step.number:>4}  {status:>3}  {taken:>7}  {name}", err=err)
    found = problems(step)
    if found and step.method and step.url:
        click.echo(f"{'':24}{safe(step.method)} {safe(step.url)}", err=err)
    for kind, sentence, told in found:
        colour = "red" if kind == "fail" else "magenta"
        click.echo(f"{'':12}{click.style('x', fg=colour)} {safe(_cut(sentence))}", err=err)
        if told is not None:
            _print_why(told, err=err)
    for script in step.scripts:
        if script.output and script.result != "pass":
            click.echo(
                click.wrap_text(safe_block(_cut(script.output)), terminal_width(), " " * 14, " " * 14), err=err
            )


def _print_why(told: Why, *, err: bool) -> None:
    def line(name: str, text: str) -> None:
        indent = " " * 14
        wrapped = click.wrap_text(f"{name:<9}{text}", max(60, terminal_width()), indent, indent + " " * 9)
        click.secho(wrapped, dim=True, err=err)

    line("expected", safe(told.expected))
    line("came", safe(told.came) + (f"  at {safe(told.place)}" if told.place else ""))
    if told.rule is not None:
        line("rule", f"{told.rule} ({told.section})")
        line("usually", told.cause or "")


def print_summary(result: SuiteResult, db: Path, *, err: bool = False) -> None:
    """Print how a run came out, and how to see more."""
    from scimproxy.report.suites import counts

    found = counts(result.steps)
    assertions = [it for step in result.executed for it in step.assertions]
    held = sum(it.result == "pass" for it in assertions)
    word, colour = {
        "pass": ("Passed", "green"),
        "fail": ("Failed", "red"),
        "error": ("Could not be judged", "magenta"),
    }.get(result.result, ("Interrupted", "yellow"))
    parts = [f"{found['pass']} passed"]
    parts += [f"{found[key]} {said}" for key, said in (("fail", "failed"), ("error", "errored")) if found[key]]
    left = found["skipped"] + found["canceled"]
    parts += [f"{left} not run"] if left else []
    taken = ""
    if result.started_at is not None and result.ended_at is not None:
        taken = f" in {duration((result.ended_at - result.started_at) * 1000)}"
    click.echo(err=err)
    sums = f"{', '.join(parts)}; {held} of {plural(len(assertions), 'assertion')} hold{taken}."
    click.echo(f"{click.style(word + ':', fg=colour, bold=True)} {sums}", err=err)
    if result.canceled:
        kept = "" if result.result != "canceled" else "; what ended before that is kept"
        click.secho(f"{safe(result.canceled)}{kept}.", fg="yellow", err=True)
    for warning in result.warnings:
        click.secho(f"Warning: {safe(warning)}", fg="yellow", err=True)
    if result.run_id is not None:
        click.echo(
            f"Run {result.run_id} in {db}: scimproxy results {result.run_id}, scimproxy log {result.run_id}", err=True
        )


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
