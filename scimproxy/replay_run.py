"""The wiring of a replay: a recorded run, or one exchange, sent again as a new run, and compared with what was.

One rule: the recorded run is only read; what is sent is stored when its answer is there, with the exchange that it
repeats as its parent, and no secret in it. Flow: cli, web -> replay -> Replayer, Client -> store -> run_diff.
Signals are the caller's: `stop` ends it in order, what is in flight is waited for and stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import re
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path

from scimproxy import __version__
from scimproxy.bind import Bindings
from scimproxy.bodies import Seen, seen
from scimproxy.client import Client
from scimproxy.diff.runs import RunDiff, compare_runs
from scimproxy.errors import UsageError
from scimproxy.exchange import Exchange, Headers, Request, Run, fingerprint
from scimproxy.proxy.engine import Target
from scimproxy.query import Query
from scimproxy.redact import redact
from scimproxy.replay.order import dependencies
from scimproxy.replay.replayer import AUTH, Edits, Replayer
from scimproxy.run_reading import light, read_run
from scimproxy.stopping import Stop
from scimproxy.store import Reader, Store

__all__ = [
    "MOST_CONCURRENT",
    "News",
    "Preparation",
    "ReplayOptions",
    "ReplayResult",
    "Sent",
    "Started",
    "prepare",
    "replay",
]

MOST_CONCURRENT = 64
"""Requests in flight at a time."""
_SHORTEST = 6
"""A shorter secret is too likely to stand in a field by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """What to send again, where, and how. Exactly one of `run_id` and `exchange_id` is given.

    `to` is a base URL (None: that of the run). `auth` is the whole Authorization value; it stands where the recorded
    server took credentials. `secret_headers` are set on every request. Neither is stored or shown.
    `request` is sent in place of the recorded one (with `exchange_id`): `prepare` gives one to edit, in which
    `replay.AUTH` stands for `auth`. `speed` divides the recorded gaps between requests (None: no gaps).
    `first` and `last` are numbers of a suite's steps, or of exchanges where the run is no suite's.
    """

    db: Path
    run_id: int | None = None
    exchange_id: int | None = None
    to: str | None = None
    auth: str | None = field(default=None, repr=False)
    secret_headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    request: Request | None = None
    only: Query | None = None
    first: str | None = None
    last: str | None = None
    speed: float | None = None
    concurrency: int = 1
    fresh_names: bool = False
    edits: Edits = field(default_factory=Edits)
    bindings: Bindings | None = None
    timing: bool = False
    timeout_s: float = 60.0
    insecure: bool = False
    ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Preparation:
    """What would be sent: the exchanges, the replayer, why some are left out (by exchange id), what is amiss."""

    source: Run
    target: Target
    run: tuple[Seen, ...]
    replayer: Replayer
    left_out: dict[int, str]
    notices: tuple[str, ...]

    def request(self, at: int = 0) -> Request:
        """Return the request for one of them, as it would go out first: for showing and editing it.

        Raises:
            UsageError: its body is not here as a whole.
        """
        if self.run[at].exchange.request.content.truncated:
            raise UsageError("the body is too long to be edited", hint="--set-header and --set change it on the way")
        return self.replayer.request(at)


@dataclass(frozen=True, slots=True)
class Started:
    """The replay begins: its run, how many requests it will send, and what the user should know."""

    run: Run
    total: int
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sent:
    """One exchange has ended and is stored. `at` is its place in the replay, `done` how many have ended."""

    exchange: Exchange
    parent: Exchange
    done: int
    total: int


type News = Started | Sent


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What became of a replay. `diff` compares what was sent with what it repeats; `canceled`: why it ended early."""

    source: Run
    run: Run
    total: int
    sent: int
    diff: RunDiff
    left_out: dict[int, str]
    notices: tuple[str, ...]
    canceled: str | None = None

    unanswered: str | None = None
    """Why there was no answer, where there was none to any request."""

    refused: int = 0
    """How many requests were answered with 401 that were not when they were recorded."""

    @property
    def bindings(self) -> Bindings:
        """Which value of then is which of now."""
        return self.diff.bindings


def prepare(options: ReplayOptions) -> Preparation:
    """Read what is to be sent; nothing is sent, nothing written.

    Raises:
        UsageError: there is no such run or exchange, nothing is chosen, or no target is known.
        StoreError: the database cannot be read.
    """
    with Reader.open(options.db) as reader:
        source, run = _chosen(reader, options)
    target = _target(options, source)
    recorded = None if source.target is None else _parsed(source.target)
    replayer = Replayer(
        run,
        target,
        recorded=recorded,
        bindings=options.bindings,
        fresh=secrets.token_hex(3) if options.fresh_names else None,
        edits=options.edits,
    )
    left_out = {}
    for at, it in enumerate(run):
        why = None if options.request is not None else replayer.refused(at)
        if why is not None and not it.exchange.request.content.truncated:
            left_out[it.exchange.id or 0] = why
    notices = [] if options.request is not None else replayer.secrets()
    if options.auth is not None:
        notices = [one for one in notices if "--auth" not in one]
    return Preparation(source, target, tuple(run), replayer, left_out, tuple(notices))


async def replay(options: ReplayOptions, tell: Callable[[News], None], stop: Stop) -> ReplayResult:
    """Send it again and return what became of it; what happens is told as it happens.

    Raises:
        UsageError: there is no such run or exchange, nothing is chosen, or no target is known.
        StoreError: the database cannot be used.
    """
    prepared = await asyncio.to_thread(prepare, options)
    store = Store.open(options.db)
    with contextlib.closing(store):
        return await _Replay(options, prepared, tell, stop, store).run()


class _Replay:
    """One replay while it goes on."""

    def __init__(
        self, options: ReplayOptions, prepared: Preparation, tell: Callable[[News], None], stop: Stop, store: Store
    ) -> None:
        self._options = options
        self._prepared = prepared
        self._tell = tell
        self._stop = stop
        self._store = store
        self._left_out = dict(prepared.left_out)
        self._answers: dict[int, Seen] = {}
        self._run_id = 0
        self._begun = 0.0

    async def run(self) -> ReplayResult:
        options, prepared, store = self._options, self._prepared, self._store
        source = prepared.source
        run = store.start_run(
            Run(
                kind="replay",
                name=f"replay of {source.name}"[:200],
                started_at=time.time(),
                target=str(prepared.target),
                version=__version__,
                source_run_id=source.id,
            )
        )
        assert run.id is not None
        self._run_id = run.id
        try:
            self._tell(Started(run, self._total, prepared.notices))
            async with Client(timeout_s=options.timeout_s, verify_tls=not options.insecure, ca=options.ca) as client:
                await self._send_all(client)
        finally:
            ended = time.time()
            await asyncio.to_thread(store.finish_run, run.id, ended_at=ended)
        sent = sorted(self._answers)
        found = await asyncio.to_thread(
            compare_runs,
            [prepared.run[at] for at in sent],
            [self._answers[at] for at in sent],
            bindings=prepared.replayer.bindings,
            timing=options.timing,
        )
        canceled = f"interrupted ({self._stop.reason})" if self._stop.requested.is_set() else None
        return ReplayResult(
            source=source,
            run=replace(run, ended_at=ended, exchange_count=len(sent)),
            total=self._total,
            sent=len(sent),
            diff=found,
            left_out=self._left_out,
            notices=prepared.notices,
            canceled=canceled,
            unanswered=_unanswered(self._answers.values()),
            refused=sum(_wants_credentials(self._answers[at]) > _wants_credentials(prepared.run[at]) for at in sent),
        )

    @property
    def _total(self) -> int:
        return len(self._prepared.run) - len(self._left_out)

    # --- in which order, and when

    async def _send_all(self, client: Client) -> None:
        """Send what may be sent, at most so many at a time, until nothing is left or somebody asks to stop."""
        agenda = _Agenda(self._prepared.run, one_by_one=self._options.concurrency == 1)
        running: dict[asyncio.Task[None], int] = {}
        wishes = [asyncio.ensure_future(wish.wait()) for wish in (self._stop.requested, self._stop.at_once)]
        self._begun = time.monotonic()
        try:
            while running or (agenda.ready and not self._stop.requested.is_set()):
                wait_s = None
                while agenda.ready and len(running) < self._options.concurrency and not self._stop.requested.is_set():
                    wait_s = self._too_early(agenda.ready[0])
                    if wait_s:
                        break
                    at = agenda.take()
                    running[asyncio.create_task(self._one(client, at))] = at
                    self._begun = time.monotonic()
                asked = wishes[1] if self._stop.requested.is_set() else wishes[0]
                await asyncio.wait({*running, asked}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
                if self._stop.at_once.is_set():
                    break
                for task in [task for task in running if task.done()]:
                    task.result()
                    agenda.ended(running.pop(task))
        finally:
            for one in (*running, *wishes):
                one.cancel()
            await asyncio.gather(*running, *wishes, return_exceptions=True)

    def _too_early(self, at: int) -> float | None:
        """Return the seconds until an exchange is due: as long after the one before as it was, by the speed."""
        if self._options.speed is None or at == 0 or not self._answers:
            return None
        run = self._prepared.run
        gap = (run[at].exchange.started_at - run[at - 1].exchange.started_at) / self._options.speed
        left = self._begun + gap - time.monotonic()
        return left if left > 0 else None

    # --- one exchange

    async def _one(self, client: Client, at: int) -> None:
        """Send one, store what became of it, and learn from it."""
        it, replayer = self._prepared.run[at], self._prepared.replayer
        parent = it.exchange
        assert parent.id is not None
        if parent.id in self._left_out:
            return
        whole = None
        if parent.request.content.truncated and self._options.request is None:
            whole = await asyncio.to_thread(self._whole, parent.id)
            why = replayer.refused(at, whole)
            if why is not None:
                self._left_out[parent.id] = why
                return
        request = self._ready(self._options.request or replayer.request(at, whole))
        began = time.time()
        try:
            exchange = await client.send(request, self._prepared.target.origin)
        except asyncio.CancelledError:
            self._keep(Exchange(request=request, state="aborted", started_at=began, ended_at=time.time()), parent)
            raise
        kept, clean = self._keep(exchange, parent)
        number: int = await asyncio.wrap_future(kept)
        answer = seen(light(replace(clean, id=number)))
        replayer.learn(at, answer)
        self._answers[at] = answer
        self._tell(Sent(answer.exchange, parent, len(self._answers), self._total))

    def _keep(self, exchange: Exchange, parent: Exchange) -> tuple[Future[int], Exchange]:
        clean, _ = redact(replace(exchange, run_id=self._run_id, parent_id=parent.id, client="scimproxy"))
        kept = Headers((name, self._hidden(value)) for name, value in clean.request.headers)
        if kept != clean.request.headers:
            clean = replace(clean, request=replace(clean.request, headers=kept))
        return self._store.submit(clean), clean

    def _hidden(self, value: str) -> str:
        """Return a field's value without what was given for this replay: `redact` knows secrets by their names."""
        given = [self._options.auth or "", *(secret for _, secret in self._options.secret_headers)]
        for secret in (
            part for one in given for part in (one.partition(" ")[2].strip(), one) if len(part) >= _SHORTEST
        ):
            value = value.replace(secret, fingerprint(secret))
        return value

    def _whole(self, number: int) -> Exchange:
        with Reader.open(self._options.db) as reader:
            found = reader.exchange(number)
        if found is None:
            raise UsageError(f"exchange {number} was deleted while it was replayed")
        return found

    def _ready(self, request: Request) -> Request:
        """Put the secrets in; where there are none, the fields that hold them stay out."""
        auth, edits = self._options.auth, self._options.edits.headers
        asked_for = {"authorization", *(name.lower() for name, _ in edits)}
        pairs = []
        for name, value in request.headers:
            # Elsewhere it is what a client had sent, unless a person wrote the request.
            if AUTH in value and (self._options.request is not None or name.lower() in asked_for):
                if auth is None:
                    continue
                value = value.replace(AUTH, auth)  # noqa: PLW2901 - the same field
            pairs.append((name, value))
        headers = Headers(pairs)
        for name, value in self._options.secret_headers:
            headers = headers.with_field(name, value)
        return replace(request, headers=headers)


class _Agenda:
    """What may be sent next: the lowest index of those that wait for nobody."""

    def __init__(self, run: Sequence[Seen], *, one_by_one: bool) -> None:
        chain = [frozenset({at - 1}) if at else frozenset() for at in range(len(run))]
        waits = chain if one_by_one else dependencies(run)
        self._open = [len(one) for one in waits]
        self._followers: list[list[int]] = [[] for _ in run]
        for at, before in enumerate(waits):
            for one in before:
                self._followers[one].append(at)
        self.ready = [at for at, count in enumerate(self._open) if not count]

    def take(self) -> int:
        return heapq.heappop(self.ready)

    def ended(self, at: int) -> None:
        for one in self._followers[at]:
            self._open[one] -= 1
            if not self._open[one]:
                heapq.heappush(self.ready, one)


def _unanswered(answers: Iterable[Seen]) -> str | None:
    message = None
    for one in answers:
        if one.exchange.response is not None or one.exchange.failure is None:
            return None
        message = message or one.exchange.failure.message
    return message


def _wants_credentials(it: Seen) -> bool:
    response = it.exchange.response
    return response is not None and response.status_code == HTTPStatus.UNAUTHORIZED


# --- what to send, and where


def _chosen(reader: Reader, options: ReplayOptions) -> tuple[Run, list[Seen]]:
    if (options.run_id is None) == (options.exchange_id is None):
        raise UsageError("give a run or an exchange to replay, one of them")
    if not 1 <= options.concurrency <= MOST_CONCURRENT:
        raise UsageError(f"up to {MOST_CONCURRENT} requests are in flight at a time, at least 1")
    if options.exchange_id is not None:
        return _one_exchange(reader, options.exchange_id)
    if options.request is not None:
        raise UsageError("an edited request stands for one exchange, and a run was given")
    assert options.run_id is not None
    source = reader.run(options.run_id)
    if source is None:
        raise UsageError(f"there is no run {options.run_id}", hint="`scimproxy runs` lists them")
    run = _between(read_run(reader, source), options.first, options.last)
    if options.only is not None:
        wanted = {row.id for row in reader.exchanges(source.id, options.only)}
        run = [it for it in run if it.exchange.id in wanted]
    if not run:
        hint = f"`scimproxy log {source.id}` lists the run"
        raise UsageError("nothing is chosen, so nothing can be sent", hint=hint)
    return source, run


def _one_exchange(reader: Reader, number: int) -> tuple[Run, list[Seen]]:
    found = reader.exchange(number)
    source = None if found is None or found.run_id is None else reader.run(found.run_id)
    if found is None or source is None:
        raise UsageError(f"there is no exchange {number}", hint="`scimproxy log` lists them")
    return source, [seen(light(found))]


def _between(run: list[Seen], first: str | None, last: str | None) -> list[Seen]:
    """Return the part of a run from one step of its suite to another, or from one exchange to another."""
    if first is None and last is None:
        return run
    by_step = any(it.step for it in run)
    low, high = (None if one is None else _place(one, by_step=by_step) for one in (first, last))
    kept = []
    for it in run:
        place = _numbers(it.step[0]) if it.step else () if by_step else (it.exchange.id or 0,)
        after = low is None or place[: len(low)] >= low
        if place and after and (high is None or place[: len(high)] <= high):
            kept.append(it)
    return kept


def _place(text: str, *, by_step: bool) -> tuple[int, ...]:
    if not re.fullmatch(r"\d{1,18}(\.\d{1,6}|\[\d{1,6}\]){0,8}" if by_step else r"\d{1,18}", text, re.ASCII):
        what = "step; write it like 3 or 5.2" if by_step else "exchange; the run is no suite's, so give their numbers"
        raise UsageError(f"{text[:40]!r} is no number of a {what}".replace("a exchange", "an exchange"))
    return _numbers(text)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(one) for one in re.findall(r"\d+", text))


def _target(options: ReplayOptions, source: Run) -> Target:
    where = options.to or source.target
    if where is None:
        raise UsageError(
            f"run {source.id} names no server that it went to",
            hint="say where to send it: --to http://127.0.0.1:8000",
        )
    return Target.parse(where)


def _parsed(url: str) -> Target | None:
    try:
        return Target.parse(url)
    except UsageError:
        return None
