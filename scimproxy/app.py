"""The wiring of a recording: store, recorder, engine, signals; it decides nothing.

One rule: things start in one order (store, run, engine) and stop in the reverse one, whatever ends them, so that
everything a client got an answer for is in the database. What happens is told as events, which come from the store
and never from the engine: a terminal, a program and the inspector see the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from scimproxy import __version__, probe
from scimproxy.errors import ScimproxyError, StoreError, UsageError
from scimproxy.exchange import Run, RunKind, TunnelEvent
from scimproxy.exposure import Exposure, ExposureOptions, Surroundings
from scimproxy.hiding import Hiding
from scimproxy.memory import give_back
from scimproxy.outlet import Outlet
from scimproxy.proxy.engine import Address, Engine, EngineOptions
from scimproxy.proxy.guard import probe_nonce
from scimproxy.proxy.locations import find_locations
from scimproxy.recorder import Recorder
from scimproxy.store import Reader, Row, StoreApart, StoreInside
from scimproxy.tunnel.probe import HEADER, PROBED

if TYPE_CHECKING:
    from scimproxy.proxy.engine import Recorder as RecorderContract

__all__ = ["Event", "Notice", "Ready", "RecordOptions", "Seen", "Skipped", "Stop", "Stopped", "record", "refuse_loop"]

_TOLD_EVERY_S = 0.05
_BATCH = 200
_READABLE = 40
_READABLE_S = 1.0
_LOOKED_THROUGH = 1024 * 1024
"""Exchanges with more bytes are not looked through for addresses: it would hold up the traffic."""
_SHARE = 6
"""Under load telling pauses so many times as long as it took: recording comes first."""
_ACCOUNT_EVERY_S = 1.0
_KNOCK_S = 3.0
_LISTENS_S = 2.0
_REST_S = 5.0
_SEARCHED = 1000
_LOOKED_AT = 50
"""So many answers of a recording are looked at for addresses that clients cannot use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOptions:
    """What to record, how and where to."""

    engine: EngineOptions
    db: Path
    name: str | None = None
    kind: RunKind = "record"
    engine_name: Literal["auto", "native", "mitmproxy"] = "auto"
    public_url: str | None = None
    exposure: ExposureOptions | None = None
    """The tunnel to open once the engine listens; `public_url` is for one that is there already."""
    keep_secrets: bool = False
    pass_when_full: bool = False
    durable: bool = False
    tell_all: bool = False
    """Tell every exchange, however fast they come; else what a person cannot read is skipped."""

    @property
    def engine_chosen(self) -> str:
        """The engine's name; `auto` is mitmproxy where only that one can do what is asked for."""
        if self.engine_name == "auto":
            return "mitmproxy" if self.engine.forward is not None or self.engine.http2 else "native"
        return self.engine_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The engine listens. `recovered` exchanges were in flight when a recording before this one was killed."""

    url: str
    listen: Address
    run: Run
    db: Path
    recovered: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """An exchange was written: pending, or in its final state."""

    row: Row


@dataclass(frozen=True, slots=True)
class Skipped:
    """So many writes were not told, because they came faster than a person reads."""

    count: int


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a person should know: recording fails or works again, the target does not answer."""

    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The recording has ended and everything is written. `reason` is what ended it (a signal's name, ...).

    `outcomes` counts exchanges by status, or by the kind of failure where there was no answer.
    """

    run_id: int
    reason: str
    outcomes: dict[str, int]
    failures: int
    lost: int
    seconds: float
    lost_reasons: dict[str, int] = field(default_factory=dict)
    at_once: bool = False
    untold: bool = False
    """Whether somebody does not read our output, so that a thread hangs on it."""

    @property
    def exchanges(self) -> int:
        """How many were recorded."""
        return sum(self.outcomes.values())


type Event = Ready | Seen | Skipped | TunnelEvent | Notice | Stopped


class Stop:
    """The wish to end: in order at the first, at once at the second. Made inside the event loop."""

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.at_once = asyncio.Event()
        self.reason = "done"

    def __call__(self, reason: str) -> None:
        """Ask to stop; asking again means at once: do not wait for what is in flight."""
        if self.requested.is_set():
            self.at_once.set()
        else:
            self.reason = reason
            self.requested.set()

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Let INT, TERM and HUP ask, inside the block. Only a main thread can; elsewhere nothing happens."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        before: dict[signal.Signals, Any] = {}
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            # nohup wants HUP ignored. INT is taken even where a shell ignores it for its background jobs: who sends
            # it to us by number means it.
            if number is None or (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):
                continue
            handler = signal.getsignal(number)
            with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C stays a KeyboardInterrupt
                loop.add_signal_handler(number, self, name)
                before[number] = handler
        try:
            yield
        finally:
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)


async def record(options: RecordOptions, tell: Callable[[Event], None], stop: Stop) -> Stopped:
    """Record until `stop` is asked for; every event is told in order, in a thread of its own (see `outlet`).

    Raises:
        UsageError: the engine does not exist.
        StoreError: the database cannot be used; or the run could not be finished in it.
        EngineError: the port is taken, or the engine failed later on.
        TunnelError: the tunnel cannot be opened, and trying again would not help.
    """
    if options.exposure is not None:
        await asyncio.to_thread(options.exposure.provider.check)
    opening = asyncio.create_task(_open_store(options))
    await asyncio.sleep(0)  # the writing process starts while the engine is imported
    try:
        make = engine_maker(options.engine_chosen)
    except BaseException:
        await (await opening).close()
        raise
    store = await opening
    # Signals are heard until everything is written: one in between asks again, and ends nothing.
    with stop.on_signals():
        hurrying = asyncio.create_task(_hurry(stop, store))
        try:
            return await _Recording(options, tell, stop, store, make).run()
        finally:
            await store.close()
            hurrying.cancel()


async def _hurry(stop: Stop, store: StoreApart | StoreInside) -> None:
    """Tell the store where somebody wants to end at once."""
    await stop.at_once.wait()
    store.hurry()


async def _open_store(options: RecordOptions) -> StoreApart | StoreInside:
    """Open the database in a process of its own; inside this one where sockets cannot be handed to a child."""
    if os.name == "posix":
        return await StoreApart.open(options.db, durable=options.durable)
    return await StoreInside.open(options.db, durable=options.durable)


def engine_maker(name: str) -> Callable[[EngineOptions, RecorderContract], Engine]:
    """Return what makes the engine of a name; its library is imported here and not before.

    Raises:
        UsageError: there is no such engine.
    """
    if name in {"auto", "native"}:
        from scimproxy.proxy.native import NativeEngine  # noqa: PLC0415 - only the engine that runs is imported

        return NativeEngine
    from scimproxy.proxy.mitm import MitmEngine  # noqa: PLC0415 - mitmproxy takes half a second to import

    return MitmEngine


def refuse_loop(options: EngineOptions, listen: Address) -> None:
    """Refuse a target that is scimproxy itself.

    Raises:
        UsageError: requests would come back for ever.
    """
    if options.target.leads_to(listen, options.public_origin):
        raise UsageError(
            f"TARGET {options.target} is scimproxy itself (it listens on {listen}): requests would go in a circle",
            hint="TARGET is your SCIM server; if both need this port, choose another one for scimproxy with --port",
        )


def run_in_loop[T](work: Coroutine[Any, Any, T], engine_name: str = "auto") -> T:
    """Run a coroutine in the event loop that the engine is fastest in."""
    give_back()
    if engine_name == "mitmproxy":
        return asyncio.run(work)
    from scimproxy.proxy.native import new_event_loop  # noqa: PLC0415 - see above

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(work)


def _why(exc: Exception) -> str:
    """Say in words why a connection was not made; asyncio's own texts are Python."""
    if isinstance(exc, TimeoutError):
        return "no answer"
    if isinstance(exc, ConnectionRefusedError):
        return "connection refused"
    if isinstance(exc, socket.gaierror):
        return "the name cannot be resolved"
    number = getattr(exc, "errno", None)
    return os.strerror(number).lower() if number else "no connection"


async def _in_own_thread[T](work: Callable[[], T]) -> T:
    """Do something that may hang in a thread that nobody waits for at the end (the executor's are waited for)."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(result: T) -> None:
        if not done.done():
            done.set_result(result)

    def run() -> None:
        result = work()
        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(tell, result)

    threading.Thread(target=run, daemon=True, name="scimproxy-exposure").start()
    return await done


class _Recording:
    """One recording while it goes on."""

    def __init__(
        self,
        options: RecordOptions,
        tell: Callable[[Event], None],
        stop: Stop,
        store: StoreApart | StoreInside,
        make: Callable[[EngineOptions, RecorderContract], Engine],
    ) -> None:
        self._options = options
        self._tell = Outlet(tell)
        self._stop = stop
        self._store = store
        self._make = make
        self._changed = asyncio.Event()
        self._seq = 0
        self._locations_left = _LOOKED_AT
        self._notices: deque[Notice] = deque()
        self._outcomes: list[tuple[str, bool, int]] = []
        self._run: Run | None = None
        self._engine: Engine | None = None
        self._publishing: set[asyncio.Task[None]] = set()
        self._active_at = 0.0

    async def run(self) -> Stopped:
        options, store = self._options, self._store
        forward = options.engine.forward is not None
        began = time.time()
        run = await store.start_run(
            Run(
                kind=options.kind,
                name=options.name or ("forward" if forward else options.engine.target.authority),
                started_at=began,
                target=None if forward else str(options.engine.target),
                public_url=options.public_url,
                version=__version__,
            )
        )
        assert run.id is not None
        recorder = Recorder(
            store,
            keep_secrets=options.keep_secrets,
            pass_when_full=options.pass_when_full,
            on_trouble=self._trouble,
        )
        secret = options.engine.guard and options.engine.guard.secret_path
        engine = self._engine = self._make(options.engine, Hiding(recorder, secret) if secret else recorder)
        try:
            listen = await engine.start()
        except ScimproxyError:
            await store.delete_run(run.id)  # it recorded nothing and never will
            raise
        try:
            refuse_loop(options.engine, listen)  # a port that was chosen for us is known only now
        except ScimproxyError:
            await engine.stop(at_once=True)
            await store.delete_run(run.id)
            raise
        run_id = run.id
        run = self._run = replace(run, engine=engine.name)
        await store.update_run(run)
        if options.public_url is not None:
            store.tunnel_event(TunnelEvent(at=began, state="given", url=options.public_url, run_id=run.id))
        store.on_commit(lambda _seq: self._changed.set())
        reader = Reader.open(options.db)
        self._seq = reader.newest_seq()
        tasks: list[asyncio.Task[Any]] = []
        problem: ScimproxyError | None = None
        exposure, exposing = None, None
        try:
            self._announce(run, listen)
            if options.exposure is not None:
                exposure = Exposure(options.exposure, engine, listen, self._surroundings(reader, run_id))
                exposing = asyncio.create_task(exposure.run())
            follower = asyncio.create_task(self._follow(reader, run))
            tasks = [
                follower,
                asyncio.create_task(self._keep_account(recorder)),
                asyncio.create_task(self._knock()),
                asyncio.create_task(self._try_without_credentials()),
                *([exposing] if exposing is not None else []),
            ]
            problem = await self._until_end(engine, follower, exposing)
            await self._wind_down(engine)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._stop_engine(engine)
            if exposure is not None:  # after the last answer has gone out through it
                await exposure.close(at_once=self._stop.at_once.is_set())
                await asyncio.gather(*self._publishing)
            with contextlib.closing(reader):
                unwritten = await self._write_end(
                    reader, replace(self._run, ended_at=time.time(), lost=recorder.lost_count)
                )
        stopped = Stopped(
            run_id=run_id,
            reason=self._stop.reason,
            outcomes={word: count for word, _, count in self._outcomes},
            failures=sum(count for _, failed, count in self._outcomes if failed),
            lost=recorder.lost_count,
            seconds=time.time() - began,
            lost_reasons=dict(recorder.lost_reasons),
            at_once=self._stop.at_once.is_set(),
        )
        self._tell(stopped)
        untold = not await self._tell.close(_LISTENS_S)
        if problem is not None or unwritten is not None:
            raise problem or unwritten  # type: ignore[misc]  # one of the two it is
        return replace(stopped, untold=untold)

    def _surroundings(self, reader: Reader, run_id: int) -> Surroundings:
        """Return what a tunnel is told of this recording, and how it tells us."""
        store = self._store

        def tell(event: TunnelEvent) -> None:
            store.tunnel_event(replace(event, run_id=run_id))
            self._tell(replace(event, run_id=run_id))

        def public(url: str) -> None:
            assert self._run is not None
            self._run = replace(self._run, public_url=url)
            task = asyncio.create_task(self._update_run(self._run))
            self._publishing.add(task)
            task.add_done_callback(self._publishing.discard)

        async def seen(nonce: str) -> bool:
            """Look for a probe among what came lately; off the hot path, only for a tunnel that has just opened."""
            for row in reader.exchanges(run_id, newest_first=True, limit=_SEARCHED):
                if row.target.endswith(PROBED):
                    (found,) = reader.whole([row.id], with_connections=False)
                    if found.request.headers.get(HEADER) == nonce:
                        return True
            return False

        guard = self._options.engine.guard
        key = guard.probe_key if guard is not None else None
        return Surroundings(
            tell=tell,
            notice=self._notice,
            public=public,
            active_at=lambda: self._active_at,
            seen=seen,
            stop=self._stop_once,
            nonce=None if key is None else lambda: probe_nonce(key, secrets.token_hex(8)),
        )

    def _stop_once(self, reason: str) -> None:
        """Ask to stop, in order: never hurry a stop that goes on."""
        if not self._stop.requested.is_set():
            self._stop(reason)

    async def _update_run(self, run: Run) -> None:
        with contextlib.suppress(StoreError):  # the recorder tells
            await self._store.update_run(run)

    def _announce(self, run: Run, listen: Address) -> None:
        self._tell(
            Ready(
                url=f"http://{listen}{self._options.engine.public_base}",
                listen=listen,
                run=run,
                db=self._options.db,
                recovered=self._store.recovered,
            )
        )
        if run.public_url is not None:
            self._tell(TunnelEvent(at=run.started_at, state="given", url=run.public_url, run_id=run.id))

    def _notice(self, message: str, hint: str | None = None) -> None:
        # Told by the follower, not here: a broken output must not raise inside the engine.
        self._notices.append(Notice(message, hint))
        self._changed.set()

    def _trouble(self, error: StoreError | None) -> None:
        if error is None:
            self._notice("recording works again")
        elif self._options.pass_when_full:
            self._notice(f"{error.message}; traffic passes UNRECORDED and is counted as lost", error.hint)
        else:
            self._notice(f"{error.message}; clients get 507 until it can be recorded again", error.hint)

    async def _until_end(
        self, engine: Engine, follower: asyncio.Task[None], exposing: asyncio.Task[ScimproxyError] | None
    ) -> ScimproxyError | None:
        """Wait for the wish to stop, for engine or tunnel to fail (returned), or for the output to break (raised)."""
        stopping = asyncio.create_task(self._stop.requested.wait())
        failing = asyncio.create_task(engine.failed())
        breaking = asyncio.create_task(self._tell.broken())
        try:
            waited: set[asyncio.Task[Any]] = {stopping, failing, breaking, follower}
            if exposing is not None:
                waited.add(exposing)
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            for task in (breaking, follower):
                if task.done():
                    task.result()
            if exposing is not None and exposing.done():
                return exposing.result()
            return failing.result() if failing.done() else None
        finally:
            for end in (stopping, failing, breaking):
                end.cancel()
            await asyncio.gather(stopping, failing, breaking, return_exceptions=True)

    async def _wind_down(self, engine: Engine) -> None:
        """Stop the engine in order, unless somebody asks again, and then at once."""
        stopping = asyncio.create_task(engine.stop())
        impatient = asyncio.create_task(self._stop.at_once.wait())
        await asyncio.wait({stopping, impatient}, return_when=asyncio.FIRST_COMPLETED)
        impatient.cancel()
        if not stopping.done():
            await self._stop_engine(engine)
        await asyncio.gather(stopping, impatient, return_exceptions=True)

    async def _stop_engine(self, engine: Engine) -> None:
        """Stop what may not have stopped yet: after an error, or because somebody asked again."""
        hurried = self._stop.at_once.is_set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.0 if hurried else None):
                await engine.stop(at_once=hurried)

    async def _follow(self, reader: Reader, run: Run) -> None:
        """Tell what was written, as it is written; in batches, so that telling never holds up recording for long."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._tell.room()
            began = time.monotonic()
            more = self._tell_batch(reader, run)
            taken = time.monotonic() - began
            if more:
                self._changed.set()
            pause = _READABLE_S if more and not self._options.tell_all else _TOLD_EVERY_S
            await asyncio.sleep(max(pause, taken * _SHARE))

    def _tell_batch(self, reader: Reader, run: Run) -> bool:
        """Tell up to a batch of changes; return whether there may be more."""
        while self._notices:
            self._tell(self._notices.popleft())
        limit = _BATCH if self._options.tell_all else _READABLE
        newest = reader.newest_seq()  # before the rows: what comes in between is told the next time
        rows = reader.changes(after=self._seq, limit=limit, run_id=run.id)
        if rows:
            self._active_at = time.time()
        for row in rows:
            self._seq = row.seq
            self._tell(Seen(row))
            if self._locations_left and self._options.engine.forward is None:
                self._look_at_locations(reader, row)
        if len(rows) == limit and self._options.tell_all:
            return True
        if len(rows) == limit and newest > self._seq:
            self._tell(Skipped(newest - self._seq))
        self._seq = max(self._seq, newest)  # never read again what other recordings write into this database
        return len(rows) == limit

    def _look_at_locations(self, reader: Reader, row: Row) -> None:
        """Report, once, an address in an answer that clients cannot use; in the first answers, off the hot path."""
        if row.status_code is None or row.status_code >= 400:
            return
        if max(row.request_size, row.response_size or 0) > _LOOKED_THROUGH:
            return
        self._locations_left -= 1
        exchange = reader.exchange(row.id)
        if exchange is None or exchange.response is None or exchange.origin != "upstream":
            return
        options = self._engine.options if self._engine is not None else self._options.engine
        origin = options.public_origin or (f"{exchange.scheme}://{exchange.host}" if exchange.host else None)
        places = find_locations(exchange.response, options, origin)
        if places:
            self._locations_left = 0
            place, value = places[0].place, places[0].value
            self._tell(
                Notice(
                    f"exchange {row.id}: {place} shows {value}, an address that clients cannot use",
                    "let the server build its URLs from Host or X-Forwarded-*, pass --preserve-host, "
                    "or have them rewritten with --rewrite-locations",
                )
            )

    async def _tell_rest(self, reader: Reader, run: Run) -> None:
        """Tell what was not told yet; a reader who does not read, or cannot keep up, must not keep us from ending."""
        until = time.monotonic() + _REST_S
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LISTENS_S):
                await self._tell.room()
            while self._tell_batch(reader, run):
                async with asyncio.timeout(_LISTENS_S):
                    await self._tell.room()
                if time.monotonic() > until or self._stop.at_once.is_set():
                    break
                await asyncio.sleep(0)  # a second signal is heard
            else:
                return
        untold = reader.newest_seq() - self._seq
        if untold > 0:
            self._tell(Skipped(untold))

    async def _keep_account(self, recorder: Recorder) -> None:
        """Write how many were lost as the number grows, and notice that recording works again without traffic."""
        told = 0
        while True:
            await asyncio.sleep(_ACCOUNT_EVERY_S)
            if recorder.look() is None and recorder.lost_count != told:
                told = recorder.lost_count
                assert self._run is not None
                self._run = replace(self._run, lost=told)
                await self._update_run(self._run)

    async def _knock(self) -> None:
        """Connect to the target once and say where nobody answers; recording goes on, it may be started later."""
        target = self._options.engine.target
        if self._options.engine.forward is not None:
            return
        try:
            async with asyncio.timeout(_KNOCK_S):
                _, writer = await asyncio.open_connection(target.host, target.port)
            writer.close()
            await writer.wait_closed()
        except (OSError, UnicodeError) as exc:
            self._notice(
                f"nothing answers at {target.origin} yet ({_why(exc)})",
                "start your SCIM server; until then clients get 502, and that is recorded too",
            )

    async def _try_without_credentials(self) -> None:
        """Ask the target once what a stranger may see, where strangers can come, and warn when it is everything.

        It goes to the target directly, so it is not recorded: no client sent it.
        """
        guard = self._options.engine.guard
        if guard is None or guard.token is not None:
            return
        target = self._options.engine.target
        answer = await _in_own_thread(lambda: probe.ask(target, "/Users?count=1", user_agent="scimproxy-exposure"))
        if isinstance(answer, probe.Answer) and 200 <= answer.status < 300:
            self._notice(
                f"the server answers GET {target.base_path}/Users without credentials ({answer.status}): "
                "whoever knows the public URL can read it",
                "let the server check a token, or let scimproxy do it: --require-token env:NAME "
                "(`scimproxy help guard`)",
            )

    async def _write_end(self, reader: Reader, run: Run) -> StoreError | None:
        """Write what is queued, tell the last of it, and finish the run; return why that was not possible."""
        assert run.id is not None
        assert run.ended_at is not None
        problem = None
        try:
            await self._store.flush()
            await self._store.finish_run(run.id, ended_at=run.ended_at, lost=run.lost)
        except StoreError as exc:  # the disk is still full: what clients were given an answer for is there already
            problem = exc
        await self._tell_rest(reader, run)
        self._outcomes = reader.outcomes(run.id)
        return problem
