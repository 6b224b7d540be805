"""`scimproxy mock`: a server that answers from a recording, as the recorded one did; what it is asked is a run too.

One rule: what the mock is made of is read before it listens, and told; nothing of the recording is changed by it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from scimproxy.cli.fault_options import fault_option, faults_from, say_faults
from scimproxy.cli.group import INTERRUPTED
from scimproxy.cli.options import db_option, json_option, listen_options, open_reader, resolve_run
from scimproxy.cli.printer import Printer, notice
from scimproxy.cli.sections import Sectioned, typed
from scimproxy.errors import UsageError

if TYPE_CHECKING:
    from scimproxy.exchange import Exchange, Run
    from scimproxy.mock.inferring import Inferred
    from scimproxy.mock.intervening import Mock
    from scimproxy.mock.matching import Matching
    from scimproxy.mock.recorded import Responder
    from scimproxy.mock.stateful import Stateful
    from scimproxy.proxy.engine import Address, EngineOptions
    from scimproxy.store import Row

__all__ = ["mock_command"]

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_LATENCY = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)\s*(ms|s)", re.ASCII)
_MOST_DELAY_S = 60.0
_MANY = 2000
_LONGEST_NOTE = 600


class Latency(click.ParamType[float | Literal["recorded"]]):
    """`none`, `recorded`, or a time like 200ms."""

    name = "latency"

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click's signature
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float | Literal["recorded"]:
        """Return the seconds, or `recorded`."""
        text = str(value).strip().lower()
        if text == "recorded":
            return "recorded"
        if text in {"none", "0.0"}:
            return 0.0
        found = _LATENCY.fullmatch(text)
        seconds = float(found[1]) / (1000 if found[2] == "ms" else 1) if found else _MOST_DELAY_S + 1
        if seconds > _MOST_DELAY_S:
            self.fail(f"{value!r} is no latency; write none, recorded, 200ms or 1.5s (60s at most).", param, ctx)
        return seconds


_SECTIONS = {
    "What answers": ("match", "strict", "loose", "repeat", "latency", "stateful", "any_token", "explain"),
    "What the recording does not have": ("upstream", "on_miss", "upstream_ca", "insecure_upstream"),
    "Let things go wrong (`scimproxy help faults`)": ("faults",),
    "Where it listens, and what is recorded": ("port", "listen_host", "engine", "no_record", "db", "name", "as_json"),
}


@click.command("mock", no_args_is_help=True, cls=Sectioned, sections=_SECTIONS)
@click.argument("run")
@click.option(
    "--match",
    metavar="NAMES",
    help="What must agree: method, path, query, body, header:NAME.  [default: method,path,query,body]",
)
@click.option("--strict", is_flag=True, help="Names and ids must be the recorded ones; three headers too.")
@click.option("--loose", is_flag=True, help="Method and path must agree; the rest only chooses.")
@click.option(
    "--repeat",
    type=click.Choice(["sequence", "last", "cycle"]),
    default="last",
    show_default=True,
    help="When all answers to a request were given: none, the last one, all again.",
)
@click.option(
    "--latency", type=Latency(), default="none", show_default=True, metavar="TIME", help="none, recorded, or 200ms."
)
@click.option("--stateful", is_flag=True, help="Be a server like the recorded one, for requests it never had.")
@click.option("--any-token", is_flag=True, help="stateful: let everybody in, not the recorded credentials only.")
@click.option("--explain", is_flag=True, help="stateful: tell what was inferred, and from which exchange.")
@click.option("--upstream", metavar="URL", help="A SCIM server to ask for what the recording does not have.")
@click.option(
    "--on-miss",
    type=click.Choice(["error", "record", "forward"]),
    help="404; ask the upstream and remember; ask it each time.  [default: error]",
)
@click.option(
    "--upstream-ca", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="CA file that it needs."
)
@click.option("--insecure-upstream", is_flag=True, help="Do not verify its certificate.")
@listen_options
@click.option(
    "--engine",
    type=click.Choice(["auto", "native", "mitmproxy"]),
    default="auto",
    show_default=True,
    help="What carries the traffic.",
)
@click.option("--no-record", is_flag=True, help="Record nothing of what is asked: for load tests.")
@fault_option
@db_option
@click.option("--name", metavar="NAME", help="Name of the run that is recorded.  [default: mock of RUN]")
@json_option("events")
def mock_command(run: str, *, db: Path, as_json: bool, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Answer requests from RUN (an id, a name, `last`, or a HAR file), as the recorded server did.

    \b
    scimproxy mock last --port 9000
    scimproxy mock 3 --stateful --explain
    scimproxy mock run.har --on-miss record --upstream http://127.0.0.1:8000

    Names that the client makes up anew are told apart from others and come back in the answers; ids are the
    recorded ones. A request that nothing answers gets 404, with what came closest and why that was not it.
    Each answer says in the header Scimproxy-Mock why it was chosen. What is asked and answered is recorded
    as a run of its own (not with --no-record). Ctrl-C ends it.
    """  # noqa: D301 - \b is click's mark: keep these lines
    from scimproxy.app import RecordOptions, refuse_loop
    from scimproxy.cli.record import run_recording
    from scimproxy.mock.intervening import Mock
    from scimproxy.mock.matching import parse_matching
    from scimproxy.proxy.engine import ANYWHERE, Address, EngineOptions, Target

    _check(given)
    preset = "strict" if given["strict"] else "loose" if given["loose"] else "default"
    matching = parse_matching(given["match"], preset)
    upstream = ANYWHERE if given["upstream"] is None else Target.parse(given["upstream"])
    source, exchanges = _recording(run, db)
    responder = _responder(exchanges, matching, given)
    if not len(responder):
        raise UsageError(
            f"run {source.id} holds nothing that can be answered again ({_skipped(responder)})",
            hint="`scimproxy runs` lists the runs; a mock needs one with answers of a server",
        )
    stateful = _stateful(exchanges, responder, given) if given["stateful"] else None
    mock = Mock(
        responder,
        run_id=source.id,
        on_miss=given["on_miss"] or "error",
        latency=given["latency"],
        stateful=stateful,
    )
    if given["latency"] == "recorded":
        mock.usual(exchanges)
    listen = Address("127.0.0.1" if given["listen_host"] == "localhost" else given["listen_host"], given["port"])
    engine = EngineOptions(
        target=upstream,
        listen_host=listen.host,
        listen_port=listen.port,
        public_path=_base_path(responder),
        upstream_ca=given["upstream_ca"],
        insecure_upstream=given["insecure_upstream"],
        intervener=faults_from(given["faults"], mock) or mock,
    )
    if given["upstream"] is not None:
        refuse_loop(engine, listen)
    banner = _banner(source, responder, matching, {**given, "intervener": engine.intervener})
    if given["no_record"]:
        _answer_unrecorded(engine, given["engine"], mock, banner)
        return
    options = RecordOptions(
        engine=engine,
        db=db,
        name=given["name"] or f"mock of {source.name}",
        kind="mock",
        source_run_id=source.id,
        engine_name=given["engine"],
        tell_all=as_json,
    )
    run_recording(options, _MockPrinter(options, as_json=as_json, banner=banner))


def _answer_unrecorded(
    engine: EngineOptions, engine_name: str, mock: Mock, banner: Callable[[str, str], None]
) -> None:
    """Answer until a signal comes, and keep nothing."""
    from scimproxy.app import Stop, answer_unrecorded, run_in_loop
    from scimproxy.cli.terminal import plural

    def listening(listen: Address) -> None:
        banner(f"http://{listen}{engine.public_base}", "nothing is recorded (--no-record)")

    async def until_stopped() -> bool:
        stop = Stop()
        await answer_unrecorded(engine, engine_name, listening, stop)
        return stop.at_once.is_set()

    at_once = run_in_loop(until_stopped(), engine_name)
    counts = mock.counts
    misses = "1 miss" if counts.misses == 1 else f"{counts.misses:,} misses"
    click.echo(f"Answered {plural(counts.hits, 'request')}, {misses}. Nothing was recorded.", err=True)
    if at_once:
        click.get_current_context().exit(INTERRUPTED)


def _check(given: dict[str, Any]) -> None:
    """Refuse what does not fit together.

    Raises:
        UsageError: with what does.
    """
    if given["listen_host"] not in _LOOPBACK:
        raise UsageError(
            f"--listen-host {given['listen_host']!r} is not a loopback address", hint="use 127.0.0.1 or ::1"
        )
    chosen = typed(("match", "strict", "loose"))
    if len(chosen) > 1:
        raise UsageError(f"{' and '.join(chosen)} exclude each other", hint="--match names each matcher itself")
    for option in typed(("name", "as_json")) if given["no_record"] else ():
        raise UsageError(
            f"{option} is not for --no-record: there is no run, and there are no events", hint=f"leave {option} out"
        )
    asks = given["on_miss"] in {"record", "forward"}
    if asks and given["upstream"] is None:
        raise UsageError(f"--on-miss {given['on_miss']} needs a server to ask", hint="name it with --upstream URL")
    if given["upstream"] is not None and not asks:
        raise UsageError(
            "--upstream is asked only where you say so", hint="add --on-miss record (remember answers) or forward"
        )
    for option in () if given["stateful"] else typed(("any_token", "explain")):
        raise UsageError(f"{option} is for --stateful", hint=f"leave {option} out, or add --stateful")
    for option in typed(("match", "strict", "loose", "repeat", "upstream", "on_miss")) if given["stateful"] else ():
        raise UsageError(
            f"{option} is not for --stateful, which answers everything itself", hint=f"leave {option} out"
        )


def _recording(text: str, db: Path) -> tuple[Run, list[Exchange]]:
    """Return the run and all of its exchanges; a HAR file becomes a run first."""
    from scimproxy.cli.files import import_file

    if text.lower().endswith(".har") or Path(text).is_file():
        run = import_file(Path(text), db)
        notice("note", f"{text} is run {run.id} now ({run.name})")
        text = str(run.id)
    with open_reader(db) as reader:
        run = resolve_run(reader, text)
        assert run.id is not None
        with _counting(run.exchange_count or 0) as count:
            return run, list(count(reader.all_whole(run.id, with_connections=False)))


@contextmanager
def _counting(total: int) -> Iterator[Callable[[Iterable[Exchange]], Iterator[Exchange]]]:
    """Count what is read, on a terminal, where it takes a while."""
    if total < _MANY or not sys.stderr.isatty():
        yield iter
        return
    from rich.console import Console
    from rich.progress import track

    yield lambda exchanges: iter(track(exchanges, "Reading", total, console=Console(stderr=True), transient=True))


def _responder(exchanges: list[Exchange], matching: Matching, given: dict[str, Any]) -> Responder:
    from scimproxy.mock.recorded import Responder

    with _counting(len(exchanges)) as count:
        return Responder(count(exchanges), matching, given["repeat"])


def _stateful(exchanges: list[Exchange], responder: Responder, given: dict[str, Any]) -> Stateful:
    import random
    import time

    from scimproxy.bodies import seen
    from scimproxy.mock.inferring import infer
    from scimproxy.mock.recorded import unusable
    from scimproxy.mock.stateful import Source, Stateful

    inferred = infer([seen(one) for one in exchanges if unusable(one) is None])
    made = Stateful(
        inferred, responder, Source(time.time, random.SystemRandom().randrange), any_token=given["any_token"]
    )
    if given["explain"]:
        _explain(inferred)
    for seed, why in made.unseeded[:5]:
        notice("warning", f"{seed.type_name} {seed.id} of the recording is left out: {why}")
    return made


def _explain(inferred: Inferred) -> None:
    """Tell what was inferred, each with the exchange that shows it."""
    from scimproxy.cli.terminal import safe

    click.secho("Inferred of the recorded server:", bold=True, err=True)
    for fact in inferred.facts:
        where = "" if fact.exchange_id is None else f" (exchange {fact.exchange_id})"
        click.echo(click.wrap_text(safe(f"{fact.text}{where}"), 78, "  - ", "    "), err=True)


def _skipped(responder: Responder) -> str:
    return ", ".join(f"{count} with {word}" for word, count in responder.skipped.items()) or "it is empty"


def _base_path(responder: Responder) -> str:
    """Return the base path under which the mock serves: the recorded one, where everything was below it."""
    bases = responder.base_paths
    return next(iter(bases)) if len(bases) == 1 and responder.all_below(next(iter(bases))) else ""


def _banner(
    source: Run, responder: Responder, matching: Matching, given: dict[str, Any]
) -> Callable[[str, str], None]:
    from scimproxy.cli.terminal import plural, safe

    def tell(url: str, where: str) -> None:
        base = "" if _base_path(responder) else next(iter(dict(responder.base_paths.most_common(1))), "")
        latency = given["latency"]
        rows = [
            ("Listening", url + base),
            ("Answers", f"{plural(len(responder), 'exchange')} of run {source.id} ({safe(source.name)})"),
            ("Matches", "all, stateful" if given["stateful"] else f"{matching.names}; repeats: {given['repeat']}"),
            ("Latency", latency if latency == "recorded" else f"{latency * 1000:g} ms" if latency else "none"),
            ("Database", where),
        ]
        if given["upstream"] is not None:
            rows.insert(3, ("Misses", f"{given['on_miss']}: {given['upstream']}"))
        click.echo(err=True)
        click.secho("scimproxy mocks a recorded server.", bold=True, err=True)
        for name, value in rows:
            click.echo(f"  {name:<10}{value}", err=True)
        if responder.skipped:
            notice("note", f"left out: {_skipped(responder)}")
        say_faults(given["intervener"])
        click.echo("\n  Ctrl-C ends it.\n", err=True)

    return tell


class _MockPrinter(Printer):
    """Tells the events of a mock: as those of a recording, and why nothing answered."""

    def _line(self, row: Row) -> None:
        super()._line(row)
        if "miss" in row.tags and row.note and self._is_news(row.note):
            from scimproxy.cli.terminal import safe

            said = safe(row.note if len(row.note) <= _LONGEST_NOTE else f"{row.note[:_LONGEST_NOTE]}...")
            click.echo(click.wrap_text(said, 80, " " * 10, " " * 10), err=True)
