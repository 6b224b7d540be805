"""`scimproxy replay`: send a recorded run, or one exchange, again, and say what comes out otherwise.

One rule: secrets come from stdin, a variable or a file, never from the command line; the recording stays as it is.
Talk and progress go to stderr, the comparison to stdout, as `diff` prints it.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click

from scimproxy.cli.group import INTERRUPTED
from scimproxy.cli.load import LOAD_OPTIONS, load_options, run_load
from scimproxy.cli.options import Number, auth_option, db_option, json_option
from scimproxy.cli.sections import Sectioned, typed
from scimproxy.errors import FormatError, ScimproxyError, UsageError

if TYPE_CHECKING:
    from scimproxy.exchange import Request
    from scimproxy.replay_run import News, ReplayOptions, ReplayResult

__all__ = ["replay_command"]

_FILE = click.Path(dir_okay=False, path_type=Path)
_SECRET_HEADER = re.compile(r"(?:^|-)(?:token|key|secret|authorization|cookie)$", re.IGNORECASE)
_LONGEST = 1_000_000
_SECTIONS = {
    "Where": ("to", "auth", "insecure", "ca", "timeout"),
    "What": ("exchange", "only", "first", "last"),
    "How": ("fresh_names", "speed", "concurrency", "given", "kept"),
    "Changed on the way": ("headers", "values", "edit"),
    "As load, with Locust": LOAD_OPTIONS,
    "The comparison": ("timing", "show_noise", "markdown", "html", "as_json"),
}


class Speed(click.ParamType[float | None]):
    """How fast: `1x` as it was recorded, `10x`, `0.5x`, `max` without gaps (None)."""

    name = "speed"

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click's signature
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float | None:
        """Return the factor."""
        text = str(value).strip().lower()
        if text == "max":
            return None
        found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,6})?)x?", text, re.ASCII)
        if found is None or float(found[1]) == 0:
            self.fail(f"{value!r} is no speed; write it like 1x, 10x, 0.5x or max.", param, ctx)
        return float(found[1])


@click.command("replay", no_args_is_help=True, cls=Sectioned, sections=_SECTIONS)
@click.argument("which", metavar="RUN")
@click.option("--to", metavar="URL", help="Base URL to send to.  [default: the run's own target]")
@auth_option
@click.option("-x", "--exchange", is_flag=True, help="RUN is an exchange, by the number that `log` prints.")
@click.option("--only", metavar="FILTER", help="Only these exchanges (`scimproxy help filters`).")
@click.option("--from-step", "first", metavar="N", help="Begin with this step of the suite, or exchange.")
@click.option("--to-step", "last", metavar="N", help="End with this step of the suite, or exchange.")
@click.option("--fresh-names", is_flag=True, help="New userNames, e-mails, externalIds and displayNames.")
@click.option(
    "--speed",
    type=Speed(),
    default="max",
    show_default=True,
    metavar="1x|10x|max",
    help="Keep the recorded gaps, divided by this; max: none.",
)
@click.option(
    "--concurrency",
    type=Number(1, 64),
    default=1,
    show_default=True,
    metavar="N",
    help="Send so many at a time; each resource keeps its order.",
)
@click.option("--bindings", "given", type=_FILE, help="Begin with the ids and names in this file.")
@click.option("--write-bindings", "kept", type=_FILE, help="Write which value of then is which of now, as JSON.")
@click.option(
    "--set-header",
    "headers",
    multiple=True,
    metavar="'NAME: VALUE'",
    help="Set a header field of each request; without a value: remove it. Secrets: env:NAME or file:FILE.",
)
@click.option(
    "--set",
    "values",
    multiple=True,
    metavar="/POINTER=VALUE",
    help="Set a value of each JSON body (RFC 6901); VALUE is JSON, else text.",
)
@click.option("--edit", is_flag=True, help="With -x: change the request in $EDITOR first.")
@click.option("--timing", is_flag=True, help="Compare durations too.")
@click.option("--show-noise", is_flag=True, help="Show also what is judged noise.")
@click.option("--markdown", type=_FILE, help="Write the comparison as a Markdown file.")
@click.option("--html", type=_FILE, help="Write it as an HTML file that stands alone.")
@click.option("--insecure", is_flag=True, help="Do not verify the server's certificate.")
@click.option("--ca", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="CA file to trust.")
@click.option(
    "--timeout", type=click.FloatRange(0.1, 3600), default=60.0, show_default=True, help="Seconds for one request."
)
@load_options
@db_option
@json_option("the comparison, or Locust's figures,")
def replay_command(which: str, *, db: Path, as_json: bool, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Send a recorded RUN again, as a new run, and compare the answers.

    Ids, names and versions of then become those of now, as the answers bring them.

    \b
    scimproxy replay last --to http://127.0.0.1:8000/scim/v2 --auth env:AUTH
    scimproxy replay 12 --fresh-names --only 'type:Group' --auth file:token.txt
    scimproxy replay -x 245 --edit --auth -
    scimproxy replay last --auth env:AUTH --users 200 --duration 5m

    RUN is an id, a name, or `last`. Exit code 1: something is breaking; with --users: a request failed.

    With --users, Locust sends the run (pip install 'scimproxy[load]'): nothing is recorded, and only statuses are
    compared. Many machines: `export --format locust` (docs/exports.md).
    """  # noqa: D301 - \b is click's mark: keep these lines
    if given["users"] is not None:
        click.get_current_context().exit(_as_load(which, db, given, as_json=as_json))
    if alone := typed(LOAD_OPTIONS):
        raise UsageError(f"{alone[0]} says how virtual users send a run", hint="say how many: --users 10")
    from scimproxy.cli.diff import print_diff, write_diff

    options = _options(which, db, given)
    result = _run(options, quiet=as_json)
    names = (_name("run", result.source.id, result.source.name), _name("run", result.run.id, result.run.name))
    write_diff(
        result.diff,
        names,
        kept=given["kept"],
        markdown=given["markdown"],
        html=given["html"],
        noise=given["show_noise"],
    )
    if as_json:
        _print_json(result, names)
    else:
        print_diff(result.diff, names, as_json=False, noise=given["show_noise"])
    _tell_end(result)
    click.get_current_context().exit(_exit_code(result))


_WITH_LOAD = {"which", "to", "auth", "only", *LOAD_OPTIONS}
"""Parameters that mean something with --users."""


def _as_load(which: str, db: Path, given: Mapping[str, Any], *, as_json: bool) -> int:
    """Hand the run to Locust."""
    from scimproxy.cli.files import fitting
    from scimproxy.cli.options import open_reader, resolve_run
    from scimproxy.cli.reading import read_auth
    from scimproxy.query import parse_query

    if others := typed(given.keys() - _WITH_LOAD):
        raise UsageError(f"{others[0]} does not go with --users", hint="Locust sends the exported run as it is")
    query = None if given["only"] is None else parse_query(given["only"])
    auth = read_auth(given["auth"])
    load = {name: given[name] for name in LOAD_OPTIONS}
    with open_reader(db) as reader:
        run = resolve_run(reader, which)
        return run_load(run, fitting(reader, run, query), target=given["to"], auth=auth, as_json=as_json, **load)


def _exit_code(result: ReplayResult) -> int:
    if result.canceled is not None:
        return INTERRUPTED
    if result.unanswered is not None:
        return ScimproxyError.exit_code
    return 1 if result.diff.breaking else 0


def _name(what: str, number: int | None, name: str) -> str:
    return f"{what} {number} ({name})"


# --- what is asked for


def _options(which: str, db: Path, given: Mapping[str, Any]) -> ReplayOptions:
    from scimproxy.cli.diff import given_bindings
    from scimproxy.cli.options import open_reader, resolve_run
    from scimproxy.cli.reading import read_auth
    from scimproxy.query import parse_query
    from scimproxy.replay.replayer import Edits
    from scimproxy.replay_run import ReplayOptions

    if given["edit"] and not given["exchange"]:
        raise UsageError("--edit changes one request", hint="name one: scimproxy replay -x EXCHANGE --edit")
    if given["exchange"] and (given["only"] or given["first"] or given["last"]):
        raise UsageError("-x sends one exchange; --only, --from-step and --to-step choose some of a run")
    run_id, exchange_id = None, None
    if given["exchange"]:
        exchange_id = int(which) if which.isascii() and which.isdecimal() and len(which) <= 18 else 0
        if not exchange_id:
            raise UsageError(f"there is no exchange {which!r}", hint="`scimproxy log` lists them")
    else:
        with open_reader(db) as reader:
            run_id = resolve_run(reader, which).id
    headers, secret_headers = _headers(given["headers"])
    options = ReplayOptions(
        db=db,
        run_id=run_id,
        exchange_id=exchange_id,
        to=given["to"],
        auth=read_auth(given["auth"]),
        secret_headers=secret_headers,
        only=None if given["only"] is None else parse_query(given["only"]),
        first=given["first"],
        last=given["last"],
        speed=given["speed"],
        concurrency=given["concurrency"],
        fresh_names=given["fresh_names"],
        edits=Edits(headers=headers, values=_values(given["values"])),
        bindings=given_bindings(given["given"]),
        timing=given["timing"],
        timeout_s=given["timeout"],
        insecure=given["insecure"],
        ca=given["ca"],
    )
    return _edited(options) if given["edit"] else options


def _headers(
    texts: tuple[str, ...],
) -> tuple[tuple[tuple[str, str | None], ...], tuple[tuple[str, str], ...]]:
    """Return the header fields to set, and those that are secret."""
    from scimproxy.cli.reading import read_token
    from scimproxy.exchange import SECRET_HEADERS

    open_ones: list[tuple[str, str | None]] = []
    secret: list[tuple[str, str]] = []
    for text in texts:
        name, colon, value = text.partition(":")
        name, value = name.strip(), value.strip()
        if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise UsageError("--set-header wants 'NAME: VALUE'", hint="write it like --set-header 'X-Trace: 1'")
        if not value.isascii() or not (value.isprintable() or not value):
            raise UsageError(f"--set-header {name}: the value holds characters that a header field cannot")
        if value and (name.lower() in SECRET_HEADERS or _SECRET_HEADER.search(name)):
            secret.append((name, read_token(f"--set-header {name}:", value)))
        else:
            open_ones.append((name, value or None))
    return tuple(open_ones), tuple(secret)


def _values(texts: tuple[str, ...]) -> tuple[tuple[tuple[str, ...], Any], ...]:
    from scimproxy.replay.json_text import pointer_of

    found = []
    for text in texts:
        pointer, mark, value = text.partition("=")
        if not mark:
            raise UsageError(
                "--set wants /POINTER=VALUE", hint="write it like --set /active=false or --set /title=Boss"
            )
        if len(value) > _LONGEST:
            raise UsageError(f"--set {pointer}: the value is longer than {_LONGEST:,} characters")
        try:
            said = json.loads(value)
        except (ValueError, RecursionError):
            said = value
        found.append((pointer_of(pointer), said))
    return tuple(found)


def _edited(options: ReplayOptions) -> ReplayOptions:
    """Let the user change the request; what cannot be read is told, and the text opened again."""
    from dataclasses import replace

    from scimproxy.cli.printer import notice
    from scimproxy.replay.request_text import from_text, to_text
    from scimproxy.replay_run import prepare

    original: Request = prepare(options).request()
    text = to_text(original)
    while True:
        try:
            changed = click.edit(text, extension=".http")
        except click.ClickException as exc:
            raise UsageError(exc.message, hint="set EDITOR to the editor that you use") from exc
        if changed is None:
            raise ScimproxyError("nothing was saved in the editor, so nothing is sent")
        try:
            request = from_text(changed, original)
        except FormatError as exc:
            notice("error", exc.message)
            if not sys.stdin.isatty() or not click.confirm("Edit it again?", default=True, err=True):
                raise
            text = changed
            continue
        if request is None:
            raise ScimproxyError("the request was emptied, so nothing is sent")
        return replace(options, request=request)


# --- sending it


def _run(options: ReplayOptions, *, quiet: bool) -> ReplayResult:
    import asyncio

    from scimproxy.replay_run import replay
    from scimproxy.stopping import Stop

    async def whole(teller: _Teller) -> ReplayResult:
        stop = Stop()
        with stop.on_signals():
            return await replay(options, teller, stop)

    with _Teller(quiet=quiet) as teller:
        return asyncio.run(whole(teller))


class _Teller:
    """Says what happens on stderr: a live bar on a terminal, one line at the beginning elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: Any = None
        self._task: Any = None
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._open.close()

    def __call__(self, news: News) -> None:
        from scimproxy.cli.printer import notice
        from scimproxy.cli.terminal import plural, safe
        from scimproxy.replay_run import Started

        if isinstance(news, Started):
            if not self._quiet:
                where = safe(news.run.target or "")
                click.echo(f"Sending {plural(news.total, 'request')} to {where} as run {news.run.id}", err=True)
            for one in news.notices:
                notice("note", one)
            if sys.stderr.isatty():
                self._bar = self._open.enter_context(_bar())
                self._task = self._bar.add_task("", total=news.total)
        elif self._bar is not None:
            said = news.exchange.response
            what = f"{news.exchange.request.method} {'-' if said is None else said.status_code}"
            self._bar.update(self._task, completed=news.done, description=what)


@contextlib.contextmanager
def _bar() -> Iterator[Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        BarColumn(24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield progress


# --- how it came out


def _print_json(result: ReplayResult, names: tuple[str, str]) -> None:
    from scimproxy.cli.terminal import echo_json
    from scimproxy.diff.report import as_json

    echo_json(
        {
            "run": result.run.id,
            "source_run": result.source.id,
            "target": result.run.target,
            "total": result.total,
            "sent": result.sent,
            "canceled": result.canceled,
            "left_out": [{"exchange": number, "reason": why} for number, why in sorted(result.left_out.items())],
            "notices": list(result.notices),
            **as_json(result.diff, names),
        }
    )


def _tell_end(result: ReplayResult) -> None:
    from scimproxy.cli.printer import notice

    for number, why in sorted(result.left_out.items())[:20]:
        notice("note", f"exchange {number} was not sent: {why}")
    if len(result.left_out) > 20:
        notice("note", f"{len(result.left_out) - 20} more were not sent; --json tells why")
    if result.unanswered is not None:
        notice("error", f"{result.run.target} gave no answer at all: {result.unanswered}", "is this its address?")
    if result.refused:
        many = "every request" if result.refused == result.sent else f"{result.refused} of {result.sent} requests"
        notice(
            "warning",
            f"{many} got 401, and did not when recorded",
            "--auth env:NAME, file:FILE or - gives the Authorization value, with its scheme",
        )
    if result.canceled is not None:
        notice("note", f"{result.canceled}; {result.sent} of {result.total} were sent, and are kept")
