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
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from scimproxy import __version__
from scimproxy.errors import ScimproxyError, StoreError, UsageError
from scimproxy.events import Event, Notice, Ready, Seen, Skipped, Stopped
from scimproxy.exchange import Run, RunKind, TunnelEvent
from scimproxy.exposure import Exposure, ExposureOptions, Surroundings
from scimproxy.first_look import knock, try_without_credentials
from scimproxy.hiding import Hiding
from scimproxy.memory import give_back
from scimproxy.proxy.engine import ANYWHERE, Address, Engine, EngineOptions
from scimproxy.proxy.guard import probe_nonce, probe_proof
from scimproxy.proxy.unrecorded import Unrecorded
from scimproxy.recorder import Recorder
from scimproxy.stopping import Stop
from scimproxy.store import Reader, StoreApart, StoreInside
from scimproxy.telling import Telling
from scimproxy.tunnel.probe import HEADER, PROBED

if TYPE_CHECKING:
    from scimproxy.proxy.engine import Recorder as RecorderContract

__all__ = [
    "Event",
    "Notice",
    "Ready",
    "RecordOptions",
    "Seen",
    "Skipped",
    "Stop",
    "Stopped",
    "answer_unrecorded",
    "record",
    "refuse_loop",
]

_ACCOUNT_EVERY_S = 1.0
_SEARCHED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOptions:
    """What to record, how and where to."""

    engine: EngineOptions
    db: Path
    name: str | None = None
    kind: RunKind = "record"
    source_run_id: int | None = None
    """The run that this one comes of: the recording that is mocked."""
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


async def answer_unrecorded(
    options: EngineOptions, engine_name: str, listening: Callable[[Address], None], stop: Stop
) -> None:
    """Run an engine that records nothing until `stop` is asked for; a mock that is a load test's server.

    Raises:
        UsageError: the engine does not exist.
        EngineError: the port is taken, or the engine failed later on.
    """
    engine = engine_maker(engine_name)(options, Unrecorded())
    with stop.on_signals():
        listen = await engine.start()
        wishes = [asyncio.create_task(stop.requested.wait()), asyncio.create_task(stop.at_once.wait())]
        failing = asyncio.create_task(engine.failed())
        try:
            refuse_loop(options, listen)
            listening(listen)
            await asyncio.wait({wishes[0], failing}, return_when=asyncio.FIRST_COMPLETED)
            ending = asyncio.create_task(engine.stop())
            await asyncio.wait({ending, wishes[1]}, return_when=asyncio.FIRST_COMPLETED)
            if failing.done():
                raise failing.result()
        finally:
            await engine.stop(at_once=stop.at_once.is_set())
            for task in (*wishes, failing):
                task.cancel()
            await asyncio.gather(*wishes, failing, return_exceptions=True)


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
        self._tell = Telling(tell, stop, tell_all=options.tell_all)
        self._stop = stop
        self._store = store
        self._make = make
        self._outcomes: list[tuple[str, bool, int]] = []
        self._run: Run | None = None
        self._publishing: set[asyncio.Task[None]] = set()

    async def run(self) -> Stopped:
        options, store = self._options, self._store
        served = options.engine.target is not ANYWHERE  # else there is no server to name, and none to look at
        unnamed = "forward" if options.engine.forward is not None else options.kind
        began = time.time()
        run = await store.start_run(
            Run(
                kind=options.kind,
                name=options.name or (options.engine.target.authority if served else unnamed),
                started_at=began,
                target=str(options.engine.target) if served else None,
                public_url=options.public_url,
                version=__version__,
                source_run_id=options.source_run_id,
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
        engine = self._make(options.engine, Hiding(recorder, secret) if secret else recorder)
        try:
            # Before there are clients: it may wait for another recording beside it.
            reader = await asyncio.to_thread(Reader.open, options.db)
            try:
                listen = await engine.start()
            except BaseException:
                reader.close()
                raise
        except ScimproxyError:
            await store.delete_run(run.id)  # it recorded nothing and never will
            raise
        try:
            refuse_loop(options.engine, listen)  # a port that was chosen for us is known only now
        except ScimproxyError:
            reader.close()
            await engine.stop(at_once=True)
            await store.delete_run(run.id)
            raise
        run_id = run.id
        run = self._run = replace(run, engine=engine.name)
        await store.update_run(run)
        if options.public_url is not None:
            store.tunnel_event(TunnelEvent(at=began, state="given", url=options.public_url, run_id=run.id))
        store.on_commit(lambda _seq: self._tell.changed())
        self._tell.begin(reader, run_id, lambda: engine.options)
        tasks: list[asyncio.Task[Any]] = []
        problem: ScimproxyError | None = None
        exposure, exposing = None, None
        try:
            self._announce(run, listen)
            if options.exposure is not None:
                exposure = Exposure(options.exposure, engine, listen, self._surroundings(reader, run_id))
                exposing = asyncio.create_task(exposure.run())
            follower = asyncio.create_task(self._tell.follow())
            tasks = [
                follower,
                asyncio.create_task(self._keep_account(recorder)),
                *(self._first_look() if served else []),
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
        untold = not await self._tell.close()
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
            with contextlib.suppress(StoreError):
                await store.flush()
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
            notice=self._tell.notice,
            public=public,
            active_at=lambda: self._tell.active_at,
            seen=seen,
            stop=self._stop_once,
            nonce=None if key is None else lambda: probe_nonce(key, secrets.token_hex(8)),
            proof=None if key is None else lambda nonce: probe_proof(key, nonce),
        )

    def _first_look(self) -> list[asyncio.Task[None]]:
        """Look at the target, beside everything else."""
        options, notice = self._options.engine, self._tell.notice
        return [
            asyncio.create_task(knock(options.target, notice)),
            asyncio.create_task(try_without_credentials(options, notice)),
        ]

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

    def _trouble(self, error: StoreError | None) -> None:
        if error is None:
            self._tell.notice("recording works again")
        elif self._options.pass_when_full:
            self._tell.notice(f"{error.message}; traffic passes UNRECORDED and is counted as lost", error.hint)
        else:
            self._tell.notice(f"{error.message}; clients get 507 until it can be recorded again", error.hint)

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

    async def _write_end(self, reader: Reader, run: Run) -> StoreError | None:
        """Write what is queued, tell the last of it, and finish the run; return why that was not possible."""
        assert run.id is not None
        assert run.ended_at is not None
        problem = None
        try:
            await self._store.flush()
            await self._store.finish_run(run.id, ended_at=run.ended_at, lost=run.lost)
        except (
            StoreError
        ) as exc:  # the disk is still full: what clients were given an answer for is there, or beside it
            problem = exc
        await self._tell.rest()
        self._outcomes = reader.outcomes(run.id)
        return problem
