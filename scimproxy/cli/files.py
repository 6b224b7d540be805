"""`scimproxy export` and `import`: runs out to files and in again.

One rule: an import is redacted like a recording, and is whole or not there.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scimproxy.cli.options import SIZE, db_option, json_option, open_reader, resolve_run
from scimproxy.errors import FormatError, UsageError

if TYPE_CHECKING:
    from scimproxy.exchange import Exchange, Run
    from scimproxy.query import Query
    from scimproxy.store import Reader, Store

__all__ = ["export_command", "import_command", "import_har"]

LARGEST_HAR = 100 << 20
"""Bytes; a HAR is taken apart in memory."""


@click.command("export")
@click.argument("run")
@db_option
@click.option("--format", "form", default="har", show_default=True, metavar="FORMAT", help="har, curl or raw.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write here; - is stdout, the default."
)
@click.option("--filter", "text", metavar="FILTER", help="Only what fits; see `scimproxy help filters`.")
def export_command(run: str, *, db: Path, form: str, output: Path | None, text: str | None) -> None:
    """Write RUN (an id, a name, or `last`) in a format that others read.

    What was recorded without --keep-secrets holds fingerprints in place of tokens and passwords.
    """
    from difflib import get_close_matches

    from scimproxy.cli.terminal import plural
    from scimproxy.export import FORMATS, pieces
    from scimproxy.query import parse_query

    if form not in FORMATS:
        near = get_close_matches(form, FORMATS, n=1)
        raise UsageError(
            f"there is no format {form!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
            hint=f"formats: {', '.join(FORMATS)}",
        )
    query = None if text is None else parse_query(text)
    with open_reader(db) as reader:
        chosen = resolve_run(reader, run)
        counted = _Counted(_fitting(reader, chosen, query))
        data = pieces(chosen, counted, form)
        if output is None or str(output) == "-":
            out = sys.stdout.buffer
            for piece in data:
                out.write(piece)
            out.flush()
        else:
            _write(output, data)
            click.echo(f"Wrote {plural(counted.count, 'exchange')} of run {chosen.id} to {output}.", err=True)


def _fitting(reader: Reader, run: Run, query: Query | None) -> Iterator[Exchange]:
    assert run.id is not None
    for exchange in reader.all_whole(run.id):
        if query is None or query.matches(exchange, reader.operation(exchange)):
            yield exchange


class _Counted:
    """Exchanges that are counted as they go by."""

    def __init__(self, exchanges: Iterator[Exchange]) -> None:
        self._exchanges = exchanges
        self.count = 0

    def __iter__(self) -> Iterator[Exchange]:
        for exchange in self._exchanges:
            self.count += 1
            yield exchange


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file whole: under another name first, readable for the user only."""
    partial = path.with_name(path.name + ".part")
    try:
        descriptor = os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(pieces)
        partial.replace(path)
    except OSError as exc:
        partial.unlink(missing_ok=True)
        raise UsageError(f"{path} cannot be written: {exc.strerror or exc}", hint="choose another --output") from exc


@click.command("import")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@db_option
@click.option("--name", help="Name of the run.  [default: that of the file]")
@click.option("--keep-secrets", is_flag=True, help="Store tokens and passwords as they are in the file. Careful.")
@click.option("--max-size", type=SIZE, default="100M", show_default=True, help="Refuse a bigger file.")
@json_option("the run")
def import_command(
    file: Path, *, db: Path, name: str | None, keep_secrets: bool, max_size: int, as_json: bool
) -> None:
    """Read FILE, a HAR of scimproxy, a browser or another proxy, as a new run."""
    from scimproxy.cli.lines import run_json
    from scimproxy.cli.terminal import echo_json, plural

    run = import_har(file, db, name=name, keep_secrets=keep_secrets, max_size=max_size)
    if as_json:
        echo_json(run_json(run))
    else:
        click.echo(f"Imported {plural(run.exchange_count or 0, 'exchange')} as run {run.id} ({run.name}).", err=True)


def import_har(
    file: Path, db: Path, *, name: str | None = None, keep_secrets: bool = False, max_size: int = LARGEST_HAR
) -> Run:
    """Store a HAR file as a new run.

    Raises:
        FormatError: it is no HAR, or a too big one; nothing is stored then.
        UsageError: it cannot be read.
        StoreError: the database cannot be used.
    """
    from scimproxy.har import from_har
    from scimproxy.store import Store

    try:
        run, exchanges = from_har(_read(file, max_size), limit=max_size)
    except FormatError as exc:
        raise FormatError(f"{file}: {exc.message}", hint=exc.hint or "nothing was imported") from exc
    if not keep_secrets:
        from scimproxy.redact import redact

        exchanges = [redact(exchange)[0] for exchange in exchanges]
    run = replace(run, kind="import", name=name or file.stem, note=run.note)
    with Store.open(db) as store:
        run = _store(store, run, exchanges)
    return replace(run, exchange_count=len(exchanges))


def _read(file: Path, limit: int) -> bytes:
    """Return the bytes of a file that is not too big to be taken apart in memory."""
    try:
        with file.open("rb") as opened:
            size = os.fstat(opened.fileno()).st_size
            if size <= limit:
                return opened.read(limit + 1)
    except OSError as exc:
        raise UsageError(f"{file} cannot be read: {exc.strerror or exc}") from exc
    raise FormatError(
        f"too big: {size / (1 << 20):,.0f} MiB, the most is {limit / (1 << 20):,.0f} MiB",
        hint="export only the SCIM server's requests from where it comes, or allow more with --max-size",
    )


def _store(store: Store, run: Run, exchanges: list[Exchange]) -> Run:
    """Store a run whole; where that fails, take away what was stored of it."""
    run = store.start_run(run)
    assert run.id is not None
    try:
        for future in [store.submit(replace(exchange, id=None, run_id=run.id)) for exchange in exchanges]:
            future.result()
        store.finish_run(run.id, ended_at=run.ended_at or time.time())
    except BaseException:
        store.delete_run(run.id)
        raise
    return run
