"""`scimproxy export` and `import`: runs out to files and in again.

One rule: an import is redacted like a recording, and is whole or not there.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scimproxy.cli.options import SIZE, db_option, json_option, open_reader, resolve_run
from scimproxy.errors import FormatError, StoreError, UsageError

if TYPE_CHECKING:
    from scimproxy.exchange import Exchange, Run
    from scimproxy.query import Query
    from scimproxy.store import Reader, Store

__all__ = ["export_command", "fitting", "import_command", "import_file"]

LARGEST = 100 << 20
"""Bytes of a file to import; it is taken apart in memory."""


@click.command("export")
@click.argument("run")
@db_option
@click.option(
    "--format",
    "form",
    default="har",
    show_default=True,
    metavar="FORMAT",
    help="har, curl, raw, hurl, pytest, locust, postman, runscope or mitmproxy; see `scimproxy help formats`.",
)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write here; - is stdout, the default."
)
@click.option("--filter", "text", metavar="FILTER", help="Only what fits; see `scimproxy help filters`.")
def export_command(run: str, *, db: Path, form: str, output: Path | None, text: str | None) -> None:
    """Write RUN (an id, a name, or `last`) in a format that others read.

    \b
    scimproxy export last --format pytest -o test_run.py
    SCIM_AUTH=TOKEN pytest test_run.py

    What was recorded without --keep-secrets holds fingerprints in place of tokens and passwords. Formats that are
    run again (hurl, pytest, locust, postman, runscope) never hold a secret: they ask for it by a name, take ids from
    the answers as they come, and put digits into names that have to be new.
    """  # noqa: D301 - \b is click's mark: keep these lines
    from difflib import get_close_matches

    from scimproxy.cli.terminal import plural
    from scimproxy.cli.writing import whole_file
    from scimproxy.exports.formats import FORMATS, pieces
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
        counted = _Counted(fitting(reader, chosen, query))
        data = pieces(chosen, counted, form)
        if output is None or str(output) == "-":
            out = sys.stdout.buffer
            for piece in data:
                out.write(piece)
            out.flush()
        else:
            with whole_file(output, "--output") as file:
                file.writelines(data)
            click.echo(f"Wrote {plural(counted.count, 'exchange')} of run {chosen.id} to {output}.", err=True)


def fitting(reader: Reader, run: Run, query: Query | None) -> Iterator[Exchange]:
    """Yield the exchanges of a run that fit a query; without one, all of them."""
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


@click.command("import")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option("--format", "form", metavar="FORMAT", help="har, mitmproxy, ngrok or runscope.  [default: by content]")
@click.option(
    "--ngrok",
    "agent",
    is_flag=False,
    flag_value="http://127.0.0.1:4040",
    metavar="[URL]",
    help="Ask ngrok's agent on this machine, in place of a file.  [http://127.0.0.1:4040]",
)
@db_option
@click.option("--name", help="Name of the run.  [default: that of the file]")
@click.option("--keep-secrets", is_flag=True, help="Store tokens and passwords as they are in the file. Careful.")
@click.option("--max-size", type=SIZE, default=LARGEST, show_default="100M", help="Refuse a bigger file.")
@json_option("the run")
def import_command(
    file: Path | None,
    *,
    form: str | None,
    agent: str | None,
    db: Path,
    name: str | None,
    keep_secrets: bool,
    max_size: int,
    as_json: bool,
) -> None:
    """Read FILE (- is stdin) as a new run; its format is told by its content.

    \b
    har        HAR of scimproxy, a browser or another proxy
    mitmproxy  a flow file (mitmdump -w)
    ngrok      what ngrok's agent answers at /api/requests/http; --ngrok asks it
    runscope   a result of Runscope's API, or of `scimproxy run --json`

    Tokens and passwords become fingerprints, as in every recording.
    """  # noqa: D301 - \b is click's mark: keep these lines
    from scimproxy.cli.lines import run_json
    from scimproxy.cli.terminal import echo_json, plural, safe

    if (file is None) == (agent is None):
        raise UsageError(
            "one of FILE and --ngrok is needed", hint="scimproxy import run.har, or scimproxy import --ngrok"
        )
    if agent is None:
        assert file is not None
        run = import_file(file, db, form=form, name=name, keep_secrets=keep_secrets, max_size=max_size)
    else:
        if form not in {None, "ngrok"}:
            raise UsageError(f"--ngrok reads ngrok's format, not {form}", hint="leave --format out")
        data = _captured(agent, max_size)
        run = _import(data, "ngrok", db, form="ngrok", name=name, keep_secrets=keep_secrets, max_size=max_size)
    if as_json:
        echo_json(run_json(run))
    else:
        click.echo(f"Imported {plural(run.exchange_count or 0, 'exchange')} as run {run.id} ({run.name}).", err=True)
        if run.engine == "mitmproxy" and run.note:
            click.echo(f"Note: {safe(run.note)}.", err=True)


def import_file(
    file: Path,
    db: Path,
    *,
    form: str | None = None,
    name: str | None = None,
    keep_secrets: bool = False,
    max_size: int = LARGEST,
) -> Run:
    """Store a file as a new run; its format is told by its content where `form` does not say it.

    Raises:
        FormatError: it is in no format that can be read, or too big; nothing is stored then.
        UsageError: it cannot be read.
        StoreError: the database cannot be used.
    """
    if str(file) == "-":
        data, source = _read_stdin(max_size), "stdin"
    else:
        data, source, name = _read(file, max_size), str(file), name or file.stem
    return _import(data, source, db, form=form, name=name, keep_secrets=keep_secrets, max_size=max_size)


def _import(
    data: bytes, source: str, db: Path, *, form: str | None, name: str | None, keep_secrets: bool, max_size: int
) -> Run:
    from scimproxy.imports.formats import read
    from scimproxy.store import Store

    try:
        form, run, exchanges = read(data, form, limit=max_size)
    except FormatError as exc:
        raise FormatError(f"{source}: {exc.message}", hint=exc.hint or "nothing was imported") from exc
    if not keep_secrets:
        from scimproxy.redact import redact

        exchanges = [redact(exchange)[0] for exchange in exchanges]
    run = replace(run, kind="import", name=name or run.name)
    with Store.open(db) as store:
        run = _store(store, run, exchanges)
    return replace(run, exchange_count=len(exchanges))


def _captured(url: str, limit: int) -> bytes:
    """Return what ngrok's agent on this machine has kept."""
    import asyncio

    from scimproxy.imports.ngrok_agent_api import captured

    return asyncio.run(captured(url, limit=limit))


def _read(file: Path, limit: int) -> bytes:
    """Return the bytes of a file that is not too big to be taken apart in memory."""
    try:
        with file.open("rb") as opened:
            size = os.fstat(opened.fileno()).st_size
            if size <= limit:
                return opened.read(limit + 1)
    except OSError as exc:
        raise UsageError(f"{file} cannot be read: {exc.strerror or exc}") from exc
    raise _too_big(f"{file} is too big: {size / (1 << 20):,.0f} MiB", limit)


def _read_stdin(limit: int) -> bytes:
    data = sys.stdin.buffer.read(limit + 1)
    if len(data) > limit:
        raise _too_big("stdin is too big", limit)
    return data


def _too_big(what: str, limit: int) -> FormatError:
    return FormatError(
        f"{what}, the most is {limit / (1 << 20):,.0f} MiB",
        hint="export only the SCIM server's requests from where it comes, or allow more with --max-size",
    )


def _store(store: Store, run: Run, exchanges: list[Exchange]) -> Run:
    """Store a run whole; where that fails, take away what was stored of it, or say that it is there."""
    run = store.start_run(run)
    assert run.id is not None
    try:
        for future in [store.submit(replace(exchange, id=None, run_id=run.id)) for exchange in exchanges]:
            future.result()
        store.finish_run(run.id, ended_at=run.ended_at or time.time())
    except BaseException as exc:
        try:
            store.delete_run(run.id)
        except StoreError as kept:  # some of it is committed; the fault to tell is the first one
            if isinstance(exc, StoreError):
                left = f"run {run.id} holds what was stored before: {kept.hint or kept.message}"
                exc.hint = left if exc.hint is None else f"{exc.hint}; {left}"
        raise
    return run
