"""Writing the report files of `run` and `results`: JUnit, HTML, Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scimproxy.cli.writing import write_text
from scimproxy.errors import UsageError

if TYPE_CHECKING:
    from scimproxy.suite.results import SuiteResult

__all__ = ["check_places", "write_reports"]

_KINDS = ("junit", "html", "markdown")


def check_places(given: Mapping[str, Any]) -> None:
    """Refuse report files that cannot be written, before a run and not after it.

    Raises:
        UsageError: the folder does not exist.
    """
    for kind in _KINDS:
        path: Path | None = given[kind]
        if path is not None and not path.parent.is_dir():
            raise UsageError(f"--{kind} {path}: there is no folder {path.parent}", hint="make it first")


def write_reports(result: SuiteResult, db: Path, given: Mapping[str, Any]) -> None:
    """Write the files that were asked for.

    Raises:
        ScimproxyError: a file cannot be written.
    """
    from scimproxy.report import suites as report

    makers: dict[str, Callable[[], str]] = {
        "junit": lambda: report.junit(result),
        "markdown": lambda: report.markdown(result),
        "html": lambda: _html(result, db),
    }
    for kind in _KINDS:
        path: Path | None = given[kind]
        if path is None:
            continue
        write_text(path, makers[kind](), f"--{kind}", mode=0o666 if kind == "junit" else 0o600)  # a CI reads it
        click.echo(f"Wrote {path}", err=True)


def _html(result: SuiteResult, db: Path) -> str:
    from scimproxy.report.suites_html import html
    from scimproxy.store import Reader

    with Reader.open(db) as reader:
        ids = [step.exchange_id for step in result.steps if step.exchange_id is not None]
        exchanges = {one.id: one for one in reader.whole(ids) if one.id is not None}
    return html(result, exchanges)
