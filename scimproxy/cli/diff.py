"""`scimproxy diff`: what differs between two runs, or two exchanges, and whether it breaks clients.

One rule: it reads and compares; the verdicts are diff/runs.py's. Exit code 1 says that something is breaking.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scimproxy.cli.options import db_option, json_option, open_reader, resolve_run
from scimproxy.cli.progress import progress_bar
from scimproxy.cli.writing import write_text
from scimproxy.errors import FormatError, UsageError

if TYPE_CHECKING:
    from scimproxy.bind import Bindings
    from scimproxy.bodies import Seen
    from scimproxy.diff.masks import Masks
    from scimproxy.diff.runs import RunDiff
    from scimproxy.exchange import Run
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
@click.option(
    "--mask",
    "--ignore",
    "masks",
    multiple=True,
    metavar="PLACE",
    help="What differs there is noise; repeat for more.",
)
@click.option("--masks", "mask_files", type=_FILE, multiple=True, help="Read masks from a file, one on each line.")
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
    masks: tuple[str, ...],
    mask_files: tuple[Path, ...],
    no_timing: bool,
    given: Path | None,
    kept: Path | None,
    markdown: Path | None,
    html: Path | None,
    as_json: bool,
) -> None:
    r"""Compare run A with run B: ids and names of one run are found again in the other.

    A and B are ids of runs, names, or `last`; with -x, numbers of exchanges. FILE:RUN is one of
    another database. Each difference is breaking, changed, additive or noise, with the reason.
    Exit code 1: something is breaking.

    \b
    Examples:
      scimproxy diff 12 last --noise 13
      scimproxy diff 12 last --mask header:X-Build --mask meta.created
      scimproxy diff 12 last --mask 'emails[type eq "work"].display'
      scimproxy diff old.db:12 new.db:last --html diff.html
      scimproxy diff -x 201 245 --json
    """
    from scimproxy.diff.runs import compare_pair, compare_runs

    if exchanges and noise:
        raise UsageError("--noise takes runs, and -x compares exchanges", hint="leave one of them out")
    bindings, hidden = given_bindings(given), _masks(masks, mask_files)
    with ExitStack() as stack:
        _leave_the_collector_out(stack)
        sources = _Sources(db, stack)
        if exchanges:
            names = (f"exchange {a}", f"exchange {b}")
            found = compare_pair(sources.exchange(a), sources.exchange(b), bindings, hidden)
        else:
            (name_a, one), (name_b, two), *rest = sources.runs([a, b, *noise])
            names = (name_a, name_b)
            others = [run for _, run in rest]
            found = compare_runs(one, two, noise=others, bindings=bindings, masks=hidden, timing=not no_timing)
    write_diff(found, names, kept=kept, markdown=markdown, html=html, noise=show_noise)
    print_diff(found, names, as_json=as_json, noise=show_noise)
    click.get_current_context().exit(1 if found.breaking else 0)


def _leave_the_collector_out(stack: ExitStack) -> None:
    """Run without Python's cycle collector: it would look through all that was read, again and again, for nothing."""
    if gc.isenabled():
        gc.disable()
        stack.callback(gc.enable)


def _told(tell: Callable[[int], None], before: int, count: int) -> None:
    tell(before + count)


def _without_parent(one: Seen) -> Seen:
    from dataclasses import replace

    return one if one.exchange.parent_id is None else replace(one, exchange=replace(one.exchange, parent_id=None))


class _Sources:
    """The databases that runs and exchanges are read from: `--db`, and those that are named as FILE:RUN."""

    def __init__(self, db: Path, stack: ExitStack) -> None:
        self._db = db
        self._stack = stack
        self._open: dict[Path, Reader] = {}

    def runs(self, texts: list[str]) -> list[tuple[str, list[Seen]]]:
        """Return runs with their names; each is read once."""
        from scimproxy.run_reading import read_run

        found = [self._run(text) for text in texts]
        total = sum(run.exchange_count or 0 for _, _, run in found)
        made: list[tuple[str, list[Seen]]] = []
        with progress_bar("reading", total) as tell:
            for name, reader, run in found:
                before = sum(len(one) for _, one in made)
                made.append((name, read_run(reader, run, partial(_told, tell, before))))
        if len(self._open) > 1:  # a parent is a number of its own database, and of none beside it
            return [(name, [_without_parent(one) for one in run]) for name, run in made]
        return made

    def exchange(self, text: str) -> Seen:
        """Return an exchange by its number."""
        from scimproxy.bodies import seen
        from scimproxy.run_reading import light

        reader, number, _ = self._reader(text)
        found = reader.exchange(int(number) if number.isdecimal() and len(number) <= 18 else 0)
        if found is None:
            raise UsageError(f"there is no exchange {text!r}", hint="`scimproxy log` lists them")
        return seen(light(found))

    def _run(self, text: str) -> tuple[str, Reader, Run]:
        reader, named, where = self._reader(text)
        run = resolve_run(reader, named)
        return f"{where}run {run.id} ({run.name})", reader, run

    def _reader(self, text: str) -> tuple[Reader, str, str]:
        """Return the database that a text names, what it says of it, and how to tell where that is."""
        file, colon, rest = text.rpartition(":")
        other = Path(file) if colon and rest and (file.endswith(".db") or Path(file).is_file()) else None
        path = other or self._db
        if path not in self._open:
            self._open[path] = self._stack.enter_context(open_reader(path))
        return self._open[path], text if other is None else rest, "" if other is None else f"{other.name}: "


def print_diff(found: RunDiff, names: tuple[str, str], *, as_json: bool, noise: bool) -> None:
    """Print a comparison: a table, or JSON."""
    from scimproxy.cli.diff_lines import diff_lines
    from scimproxy.cli.terminal import echo_json
    from scimproxy.diff.report import as_json as document

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
    from scimproxy.diff.html import html as page
    from scimproxy.diff.report import markdown as text

    makers: list[tuple[str, Path | None, Callable[[], str]]] = [
        ("--write-bindings", kept, found.bindings.to_json),
        ("--markdown", markdown, lambda: text(found, names, noise=noise)),
        ("--html", html, lambda: page(found, names)),
    ]
    for option, path, make in makers:
        if path is None:
            continue
        write_text(path, make(), option)
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


def _masks(texts: tuple[str, ...], files: tuple[Path, ...]) -> Masks | None:
    from scimproxy.diff.masks import Masks

    lines = list(texts)
    for path in files:
        try:
            lines += Masks.from_file(path.read_text(encoding="utf-8"))
        except OSError as exc:
            raise UsageError(f"{path} cannot be read: {exc.strerror or exc}") from exc
        except UnicodeDecodeError as exc:
            raise FormatError(f"{path} cannot be read as masks: {exc}", hint="write one mask on each line") from exc
    return Masks(lines) if lines else None
