"""`scimproxy diff`: what differs between two runs, or two exchanges, and whether it breaks clients.

One rule: it reads and compares; the verdicts are run_diff.py's. Exit code 1 says that something is breaking.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scimproxy.cli.options import db_option, json_option, open_reader, resolve_run
from scimproxy.errors import FormatError, ScimproxyError, UsageError

if TYPE_CHECKING:
    from scimproxy.bind import Bindings
    from scimproxy.bodies import Seen
    from scimproxy.exchange import Run
    from scimproxy.run_diff import RunDiff
    from scimproxy.store import Reader

__all__ = ["diff_command", "given_bindings", "print_diff", "write_diff"]

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("diff")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@db_option
@click.option("-x", "--exchanges", is_flag=True, help="A and B are exchanges, by the numbers that `log` prints.")
@click.option("--noise", "noise", multiple=True, metavar="RUN", help="Another run of A's build; repeat for more.")
@click.option("--show-noise", is_flag=True, help="Show also what is judged noise.")
@click.option("--no-timing", is_flag=True, help="Do not compare durations.")
@click.option("--bindings", "given", type=_FILE, help="Begin with the bindings in this file.")
@click.option("--write-bindings", "kept", type=_FILE, help="Write which value of A is which of B, as JSON.")
@click.option("--markdown", type=_FILE, help="Write a Markdown file.")
@click.option("--html", type=_FILE, help="Write an HTML file that stands alone.")
@json_option("the differences (RFC 6902 operations)")
def diff_command(
    a: str,
    b: str,
    *,
    db: Path,
    exchanges: bool,
    noise: tuple[str, ...],
    show_noise: bool,
    no_timing: bool,
    given: Path | None,
    kept: Path | None,
    markdown: Path | None,
    html: Path | None,
    as_json: bool,
) -> None:
    """Compare run A with run B: ids and names of one run are found again in the other.

    A and B are ids of runs, names, or `last`; with -x, numbers of exchanges. Each difference is
    breaking, changed, additive or noise, with the reason. Exit code 1: something is breaking.
    """
    from scimproxy.run_diff import compare_pair, compare_runs
    from scimproxy.run_reading import read_run

    if exchanges and noise:
        raise UsageError("--noise takes runs, and -x compares exchanges", hint="leave one of them out")
    bindings = given_bindings(given)
    with open_reader(db) as reader:
        if exchanges:
            names = (f"exchange {a}", f"exchange {b}")
            found = compare_pair(_exchange(reader, a), _exchange(reader, b), bindings)
        else:
            runs = [resolve_run(reader, one) for one in (a, b)]
            names = (_name(runs[0]), _name(runs[1]))
            others = [read_run(reader, resolve_run(reader, one)) for one in noise]
            one, two = (read_run(reader, run) for run in runs)
            found = compare_runs(one, two, noise=others, bindings=bindings, timing=not no_timing)
    write_diff(found, names, kept=kept, markdown=markdown, html=html, noise=show_noise)
    print_diff(found, names, as_json=as_json, noise=show_noise)
    click.get_current_context().exit(1 if found.breaking else 0)


def print_diff(found: RunDiff, names: tuple[str, str], *, as_json: bool, noise: bool) -> None:
    """Print a comparison: a table, or JSON."""
    from scimproxy.cli.diff_lines import diff_lines
    from scimproxy.cli.terminal import echo_json
    from scimproxy.diff_report import as_json as document

    if as_json:
        echo_json(document(found, names))
        return
    for line in diff_lines(found, names, noise=noise):
        click.echo(line)
    if found.counts["noise"] and not noise:
        click.echo("--show-noise shows the noise.", err=True)


def write_diff(
    found: RunDiff,
    names: tuple[str, str],
    *,
    kept: Path | None,
    markdown: Path | None,
    html: Path | None,
    noise: bool,
) -> None:
    """Write the files that were asked for.

    Raises:
        ScimproxyError: one cannot be written.
    """
    from scimproxy.diff_html import html as page
    from scimproxy.diff_report import markdown as text

    makers: list[tuple[Path | None, Callable[[], str]]] = [
        (kept, found.bindings.to_json),
        (markdown, lambda: text(found, names, noise=noise)),
        (html, lambda: page(found, names)),
    ]
    for path, make in makers:
        if path is None:
            continue
        try:
            path.write_text(make(), encoding="utf-8")
        except OSError as exc:
            raise ScimproxyError(
                f"{path} cannot be written: {exc.strerror or exc}", hint="name a file in a folder that exists"
            ) from exc
        click.echo(f"Wrote {path}", err=True)


def given_bindings(path: Path | None) -> Bindings | None:
    """Read the bindings of a file.

    Raises:
        FormatError: it holds none.
    """
    from scimproxy.bind import Bindings

    if path is None:
        return None
    try:
        return Bindings.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise FormatError(
            f"{path} cannot be read as bindings: {exc}", hint="`--write-bindings` writes such a file"
        ) from exc


def _name(run: Run) -> str:
    return f"run {run.id} ({run.name})"


def _exchange(reader: Reader, text: str) -> Seen:
    from scimproxy.bodies import seen
    from scimproxy.run_reading import light

    number = int(text) if text.isdecimal() and len(text) <= 18 else 0
    found = reader.exchange(number)
    if found is None:
        raise UsageError(f"there is no exchange {text!r}", hint="`scimproxy log` lists them")
    return seen(light(found))
