"""The wiring of a drill: a recording under faults, a suite through it or live traffic, questions, the verdicts.

One rule: it decides nothing: `drills` says what goes wrong, what to ask afterwards, and how it came out. What is
asked is recorded as a run of its own, straight to the server and without faults.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from scimproxy import __version__
from scimproxy.app import Event, Ready, RecordOptions, Stop, Stopped, record
from scimproxy.bodies import LONGEST, Seen, seen
from scimproxy.client import Client
from scimproxy.drills import Report, judge, leftovers, questions
from scimproxy.errors import EngineError
from scimproxy.exchange import Content, Exchange, Headers, Request, Run
from scimproxy.faults import Fault, Faults
from scimproxy.redact import redact
from scimproxy.store import Reader, Store
from scimproxy.suite.results import SuiteResult
from scimproxy.suite_beside import SuiteBeside
from scimproxy.suite_run import SuiteOptions

__all__ = ["MOST_EXCHANGES", "DrillOptions", "Drilled", "drill"]

MOST_EXCHANGES = 20_000
_AGENT = f"scimproxy-drill/{__version__}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillOptions:
    """What to drill. `record.engine.intervener` is set here; `suite` makes the suite for the recorder's URL.

    Without `suite` the drill waits for live traffic, until it is stopped or `for_s` have passed. `auth` is the whole
    Authorization value for the questions afterwards; without it (and without need of it) they go out bare.
    """

    record: RecordOptions
    faults: tuple[Fault, ...]
    suite: Callable[[str], SuiteOptions] | None = None
    for_s: float | None = None
    auth: str | None = field(default=None, repr=False)
    insecure: bool = False
    ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Drilled:
    """How a drill came out: the verdicts, the runs with the traffic and the questions, and the suite's result."""

    report: Report
    run_id: int
    asked_run_id: int | None
    suite: SuiteResult | None
    removed: int
    at_once: bool


async def drill(options: DrillOptions, tell: Callable[[Event], None], stop: Stop) -> Drilled:
    """Record under faults, then ask the server and judge.

    Raises:
        ScimproxyError: the recording cannot be made, or the suite cannot be run.
    """
    faults = Faults(options.faults)
    engine = replace(options.record.engine, intervener=faults)
    loop = asyncio.get_running_loop()
    listening: asyncio.Future[str] = loop.create_future()

    def told(event: Event) -> None:
        if isinstance(event, Ready):
            loop.call_soon_threadsafe(listening.set_result, event.url)
        tell(event)

    recording = asyncio.create_task(record(replace(options.record, engine=engine), told, stop))
    traffic = asyncio.create_task(_traffic(options, listening, stop))
    try:
        await asyncio.wait({recording, traffic}, return_when=asyncio.FIRST_COMPLETED)
        if not stop.requested.is_set():  # asked again, it would not wait for what is in flight
            stop("the suite is over" if options.suite is not None else "the time is over")
        stopped = await recording
    finally:
        traffic.cancel()
        await asyncio.gather(traffic, return_exceptions=True)
    suite = None if traffic.cancelled() else traffic.result()
    return await _after(options, stopped, suite)


async def _traffic(options: DrillOptions, listening: asyncio.Future[str], stop: Stop) -> SuiteResult | None:
    url = await listening
    if options.suite is not None:
        return await SuiteBeside(options.suite(url), "drill").run()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.requested.wait(), options.for_s)
    return None


async def _after(options: DrillOptions, stopped: Stopped, suite: SuiteResult | None) -> Drilled:
    with Reader.open(options.record.db) as reader:
        if stopped.exchanges > MOST_EXCHANGES:
            raise EngineError(
                f"run {stopped.run_id} has {stopped.exchanges:,} exchanges; up to {MOST_EXCHANGES:,} can be judged",
                hint="end a drill with --live sooner, with --for",
            )
        run = [_light(one) for one in reader.all_whole(stopped.run_id, with_connections=False)]
    asked = questions(run, options.faults)
    answers: list[Seen] = []
    removed, asked_run = 0, None
    if asked and not stopped.at_once:
        with contextlib.closing(Store.open(options.record.db)) as store:
            async with _Asking(options, store) as asking:
                answers = [await asking.send("GET", target) for target in asked]
                if options.suite is not None:
                    for path in leftovers(run, options.faults):
                        gone = (await asking.send("DELETE", path)).exchange.response
                        removed += gone is not None and gone.status_code in {200, 204}
            asked_run = asking.run_id
    report = judge(run, options.faults, answers)
    return Drilled(report, stopped.run_id, asked_run, suite, removed, stopped.at_once)


class _Asking:
    """A run of questions to the server itself; use it with `async with`."""

    def __init__(self, options: DrillOptions, store: Store) -> None:
        self._options = options
        self._store = store
        self._target = options.record.engine.target
        self._client = Client(timeout_s=30.0, verify_tls=not options.insecure, ca=options.ca)
        self.run_id: int | None = None

    async def __aenter__(self) -> Self:
        name = f"{self._options.record.name}: asked afterwards"
        run = Run(kind="replay", name=name, started_at=time.time(), target=str(self._target), version=__version__)
        self.run_id = self._store.start_run(run).id
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *given: object) -> None:
        await self._client.__aexit__(None, None, None)
        assert self.run_id is not None
        self._store.finish_run(self.run_id, ended_at=time.time())

    async def send(self, method: str, target: str) -> Seen:
        """Ask, and record it."""
        options, aim = self._options.record.engine, self._target
        fields = [("User-Agent", _AGENT), ("Accept", "application/scim+json")]
        if self._options.auth is not None:
            fields.append(("Authorization", self._options.auth))
        below = aim.base_path + target.removeprefix(options.public_base)
        exchange = await self._client.send(Request(method, below, headers=Headers(fields)), aim.origin)
        clean, _ = redact(replace(exchange, run_id=self.run_id))
        number = await asyncio.wrap_future(self._store.submit(clean))
        # Judged under the name that the client used for it.
        return _light(replace(clean, id=number, request=replace(clean.request, target=target)))


def _light(exchange: Exchange) -> Seen:
    """Read an exchange without secrets, and without bodies that are too long to be read."""
    clean, _ = redact(exchange)
    response = clean.response
    if response is not None and len(response.content.data) > LONGEST:
        content = Content(b"", response.content.size, response.content.sha256)
        clean = replace(clean, response=replace(response, content=content))
    return seen(clean)
