"""`scimproxy report`: a run as one file for others, with pseudonyms for personal values.

One rule: it reads and writes files; what is shown is report/page.py's, what is taken out report/personal.py's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scimproxy.cli.options import db_option, open_reader, resolve_run
from scimproxy.cli.writing import whole_file
from scimproxy.errors import ScimproxyError, UsageError

if TYPE_CHECKING:
    from scimproxy.report.page import Material
    from scimproxy.report.personal import Personal
    from scimproxy.suite.results import SuiteResult

__all__ = ["report_command"]

_FILE = click.Path(dir_okay=False, path_type=Path)
_FORMATS = ("html", "json", "markdown", "junit")


@click.command("report")
@click.argument("run", required=False)
@db_option
@click.option("-o", "--output", type=_FILE, help="Write here; - is stdout.  [default: run-ID.html]")
@click.option(
    "--format", "form", type=click.Choice(_FORMATS), default="html", show_default=True,
    help="The others are for the run of a suite.",
)  # fmt: skip
@click.option("--against", metavar="RUN", help="Show also what differs from this run.")
@click.option("--filter", "text", metavar="FILTER", help="Only exchanges that fit; see `scimproxy help filters`.")
@click.option("--bundle", type=_FILE, help="Write a zip: report, HAR, the suite, and how to replay it.")
@click.option("--keep-names", is_flag=True, help="Show names, e-mail addresses, phone numbers as they are.")
def report_command(
    run: str | None, *, db: Path, output: Path | None, form: str, against: str | None, text: str | None,
    bundle: Path | None, keep_names: bool,
) -> None:  # fmt: skip
    r"""Write RUN (an id, a name, or `last`, the default) as one file that can be given to others.

    The HTML file stands alone: it opens from disk, loads nothing, and works without JavaScript.
    Names, e-mail addresses, phone numbers, postal and client addresses become pseudonyms, the
    same value the same one everywhere; the file says what was replaced.

    \b
      scimproxy report last -o run.html
      scimproxy report 12 --against 9 --bundle run.zip
    """
    from scimproxy.query import parse_query
    from scimproxy.report.material import read_material

    if form != "html" and (bundle is not None or against is not None):
        raise UsageError("--bundle and --against are for --format html", hint="leave --format out")
    for path in (output, bundle):
        if path is not None and str(path) != "-" and not path.parent.is_dir():
            raise UsageError(f"{path}: there is no folder {path.parent}", hint="make it first")
    query = None if text is None else parse_query(text)
    with open_reader(db) as reader:
        chosen = resolve_run(reader, run)
        other = None if against is None else resolve_run(reader, against)
        material, personal = read_material(reader, chosen, other, query, keep_names=keep_names)
    made = _made(material, form)
    place = output if output is not None or bundle is not None else Path(f"run-{chosen.id}.{_ending(form)}")
    if place is not None:
        _write(place, made)
    if bundle is not None:
        _bundle(bundle, material, made, personal)
    _tell(material)


def _ending(form: str) -> str:
    return {"markdown": "md", "junit": "xml"}.get(form, form)


def _made(material: Material, form: str) -> str:
    if form == "html":
        from scimproxy.report.page import html

        return html(material)
    from scimproxy.report import suites as report

    result: SuiteResult | None = material.result
    if result is None:
        raise UsageError(
            f"run {material.run.id} is no suite's, and --format {form} is for those",
            hint="leave --format out, or `scimproxy export` writes HAR, curl commands and raw messages",
        )
    if form == "json":
        return json.dumps(report.runscope_json(result), indent=2) + "\n"
    return report.junit(result) if form == "junit" else report.markdown(result)


def _write(path: Path, made: str) -> None:
    if str(path) == "-":
        click.echo(made, nl=False)
        return
    with whole_file(path, "--output") as file:
        file.write(made.encode("utf-8"))
    click.echo(f"Wrote {path} ({_size(len(made.encode()))}).", err=True)


def _size(count: int) -> str:
    from scimproxy.amounts import size

    return size(count)


def _bundle(path: Path, material: Material, made: str, personal: Personal | None) -> None:
    from scimproxy.har import har_text
    from scimproxy.report.bundle import readme, suite_text, write

    files: dict[str, Iterable[str]] = {
        "report.html": [made],
        "run.har": har_text(material.run, (one for one, _ in material.exchanges)),
    }
    source = None if material.result is None else material.result.source
    if source is not None:
        data = _suite(source)
        if data is None:
            click.echo(f"The suite {source} is not there any more; the bundle goes without it.", err=True)
        else:
            files["suite.json"] = [suite_text(data, (lambda text: text) if personal is None else personal.names.text)]
    files["README.txt"] = [readme(material.run, files, kept_names=personal is None)]
    with whole_file(path, "--bundle") as file:
        write(file, files)
    click.echo(f"Wrote {path} ({_size(path.stat().st_size)}): {', '.join(files)}.", err=True)


def _suite(source: str) -> bytes | None:
    """Return the file of a suite by what the run calls it; None where it cannot be read as one any more."""
    from scimproxy.suite.library import find_suite
    from scimproxy.suite.runscope import parse

    try:
        data = find_suite(source).read_bytes()
        parse(data)
    except (ScimproxyError, OSError):
        return None
    return data


def _tell(material: Material) -> None:
    if material.replaced is None:
        click.echo("Names, e-mail addresses and phone numbers are in it as they were recorded.", err=True)
    else:
        count = sum(material.replaced.values())
        click.echo(f"{count:,} personal values are pseudonyms in it; --keep-names leaves them.", err=True)
    if material.more:
        click.echo(f"{material.more:,} more exchanges are not in it; --filter chooses which are.", err=True)
