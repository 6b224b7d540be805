from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import factories
import pytest
from listeners import free_port, listener
from listeners import http as answer

from scimproxy import app, telling
from scimproxy.app import Event, Notice, Ready, RecordOptions, Seen, Skipped, Stop, Stopped, record
from scimproxy.errors import EngineError, StoreError, StoreFull, UsageError
from scimproxy.exchange import TunnelEvent
from scimproxy.proxy.engine import Address, EngineOptions, GuardOptions, Recorder, Target
from scimproxy.store import Reader, Store, StoreApart


@pytest.fixture
def upstream() -> Iterator[Target]:
    with listener(lambda _: answer(200, b'{"id":"1"}')) as port:
        yield Target("http", "127.0.0.1", port, "/scim/v2")


def options(target: Target, tmp_path: Path, **more: Any) -> RecordOptions:
    return RecordOptions(engine=EngineOptions(target=target), db=tmp_path / "a.db", **more)


def get(url: str) -> int:
    parts = urlsplit(url)
    with contextlib.closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)) as connection:
        connection.request("GET", parts.path)
        response = connection.getresponse()
        response.read()
        return response.status


class Watch:
    """Collects events; `ready` gives the URL."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.changed = asyncio.Event()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self.changed.set()

    async def until(self, kind: type, count: int = 1) -> list[Any]:
        while True:
            found = [event for event in self.events if isinstance(event, kind)]
            if len(found) >= count:
                return found
            self.changed.clear()
            await self.changed.wait()


async def test_a_recording_from_start_to_end(upstream: Target, tmp_path: Path) -> None:
    watch, stop = Watch(), Stop()
    given = options(upstream, tmp_path, name="mine", public_url="https://abc.example")
    task = asyncio.create_task(record(given, watch, stop))
    (ready,) = await watch.until(Ready)
    assert await asyncio.to_thread(get, ready.url + "/Users") == 200
    await watch.until(Seen)
    stop("enough")
    stopped = await task
    assert (stopped.reason, stopped.outcomes, stopped.exchanges, stopped.failures) == ("enough", {"200": 1}, 1, 0)
    assert [type(event) for event in watch.events] == [Ready, TunnelEvent, Seen, Stopped]
    with Reader.open(tmp_path / "a.db") as reader:
        run = reader.run("last")
        assert run is not None
        assert (run.name, run.target, run.engine, run.lost) == ("mine", str(upstream), "native", 0)
        assert run.ended_at is not None
        assert [event.url for event in reader.tunnel_events(1)] == ["https://abc.example"]


async def test_only_its_own_exchanges_are_told(upstream: Target, tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store:
        store.start_run(factories.run())
        store.add(factories.exchange())
        watch, stop = Watch(), Stop()
        task = asyncio.create_task(record(options(upstream, tmp_path), watch, stop))
        (ready,) = await watch.until(Ready)
        store.add(factories.exchange())
        assert await asyncio.to_thread(get, ready.url + "/Users") == 200
        (seen,) = await watch.until(Seen)
        stop("done")
        await task
    assert seen.row.run_id == 2
    assert len(await watch.until(Seen)) == 1


async def test_what_nobody_can_read_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upstream: Target
) -> None:
    monkeypatch.setattr(telling, "_READABLE", 3)
    for tell_all, told in ((False, 3), (True, 10)):
        watch, stop = Watch(), Stop()
        given = options(upstream, tmp_path / str(tell_all), tell_all=tell_all)
        store_opened = asyncio.create_task(record(given, watch, stop))
        (ready,) = await watch.until(Ready)
        with Store.open(given.db) as store:
            futures = [store.submit(factories.exchange(run_id=ready.run.id)) for _ in range(10)]
            for future in futures:
                await asyncio.wrap_future(future)
        stop("done")
        stopped = await store_opened
        assert stopped.exchanges == 10
        seen = [event for event in watch.events if isinstance(event, Seen)]
        skipped = sum(event.count for event in watch.events if isinstance(event, Skipped))
        assert len(seen) + skipped == 10
        assert len(seen) == 10 if tell_all else len(seen) >= told


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_signals(number: signal.Signals, upstream: Target, tmp_path: Path) -> None:
    before = signal.getsignal(number)
    watch = Watch()
    task = asyncio.create_task(record(options(upstream, tmp_path), watch, Stop()))
    await watch.until(Ready)
    os.kill(os.getpid(), number)
    assert (await task).reason == number.name
    assert signal.getsignal(number) == before


async def test_two_wishes_mean_at_once(tmp_path: Path) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        target = Target("http", "127.0.0.1", silent.getsockname()[1])
        watch, stop = Watch(), Stop()
        task = asyncio.create_task(record(options(target, tmp_path), watch, stop))
        (ready,) = await watch.until(Ready)
        _, writer = await asyncio.open_connection(ready.listen.host, ready.listen.port)
        writer.write(b"GET /Users HTTP/1.1\r\nHost: x\r\n\r\n")
        (seen,) = await watch.until(Seen)
        assert seen.row.state == "pending"
        stop("one")
        stop("two")
        stopped = await task
        assert (stopped.reason, stopped.at_once) == ("one", True)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_a_target_that_is_not_there_yet(tmp_path: Path) -> None:
    watch, stop = Watch(), Stop()
    target = Target("http", "127.0.0.1", free_port())
    task = asyncio.create_task(record(options(target, tmp_path), watch, stop))
    (notice,) = await watch.until(Notice)
    stop("done")
    await task
    assert notice.message == f"nothing answers at {target.origin} yet (connection refused)"


async def test_a_port_that_is_taken_leaves_no_run(upstream: Target, tmp_path: Path) -> None:
    given = RecordOptions(engine=EngineOptions(target=upstream, listen_port=upstream.port), db=tmp_path / "a.db")
    with pytest.raises(EngineError):
        await record(given, Watch(), Stop())
    with Reader.open(given.db) as reader:
        assert reader.runs() == []


async def test_telling_that_fails_ends_the_recording_in_order(upstream: Target, tmp_path: Path) -> None:
    def tell(event: Event) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        await record(options(upstream, tmp_path), tell, Stop())
    with Reader.open(tmp_path / "a.db") as reader:
        (run,) = reader.runs()
    assert run.ended_at is not None


class Scripted:
    """An engine that does what a test says, in place of a real one that cannot be made to fail."""

    name = "scripted"

    def __init__(self, options: EngineOptions, recorder: Recorder) -> None:
        self.options = options
        self.recorder = recorder
        self.failing: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def start(self) -> Address:
        return Address("127.0.0.1", 1)

    def publish(self, origin: str | None, *, vouches_for_client: bool) -> None:
        pass

    async def stop(self, *, at_once: bool = False) -> None:
        pass

    async def failed(self) -> Any:
        return await self.failing


async def test_an_engine_that_fails_later(upstream: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Scripted] = []

    def make(given: EngineOptions, recorder: Recorder) -> Scripted:
        made.append(Scripted(given, recorder))
        return made[0]

    monkeypatch.setattr(app, "engine_maker", lambda _: make)
    watch = Watch()
    task = asyncio.create_task(record(options(upstream, tmp_path), watch, Stop()))
    await watch.until(Ready)
    await made[0].recorder.record(factories.exchange())
    made[0].failing.set_result(EngineError("the listener died"))
    with pytest.raises(EngineError, match="the listener died"):
        await task
    with Reader.open(tmp_path / "a.db") as reader:
        (run,) = reader.runs()
    assert (run.exchange_count, run.ended_at is None) == (1, False)


async def test_a_disk_that_is_full_at_the_end(
    upstream: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, stop = Watch(), Stop()
    task = asyncio.create_task(record(options(upstream, tmp_path), watch, stop))
    (ready,) = await watch.until(Ready)
    assert await asyncio.to_thread(get, ready.url + "/Users") == 200
    await watch.until(Seen)

    def full(*_: object, **__: object) -> None:
        raise StoreFull("no space is left")

    monkeypatch.setattr(StoreApart, "flush", full)
    stop("done")
    with pytest.raises(StoreFull):
        await task
    (stopped,) = await watch.until(Stopped)  # the summary is told all the same
    assert stopped.exchanges == 1


async def test_what_is_lost_is_written_and_told(
    upstream: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Scripted] = []

    def make(given: EngineOptions, recorder: Recorder) -> Scripted:
        made.append(Scripted(given, recorder))
        return made[0]

    monkeypatch.setattr(app, "engine_maker", lambda _: make)
    monkeypatch.setattr(app, "_ACCOUNT_EVERY_S", 0.01)
    watch, stop = Watch(), Stop()
    task = asyncio.create_task(record(options(upstream, tmp_path), watch, stop))
    await watch.until(Ready)
    made[0].recorder.lost("a fault")
    with Reader.open(tmp_path / "a.db") as reader:
        # Written while it goes on, so that a kill keeps it.
        while (run := reader.run(1)) is not None and run.lost == 0:
            await asyncio.to_thread(reader.newest_seq)  # lets the loop run
    stop("done")
    assert (await task).lost_reasons == {"a fault": 1}


async def test_trouble_with_the_store_is_told(
    upstream: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Scripted] = []
    stores: list[StoreApart] = []
    opened = StoreApart.open

    def make(given: EngineOptions, recorder: Recorder) -> Scripted:
        made.append(Scripted(given, recorder))
        return made[-1]

    async def open_store(*args: Any, **named: Any) -> StoreApart:
        stores.append(await opened(*args, **named))
        return stores[-1]

    monkeypatch.setattr(app, "engine_maker", lambda _: make)
    monkeypatch.setattr(app.StoreApart, "open", open_store)
    for passing, word in ((False, "clients get 507"), (True, "passes UNRECORDED")):
        watch, stop = Watch(), Stop()
        task = asyncio.create_task(record(options(upstream, tmp_path, pass_when_full=passing), watch, stop))
        await watch.until(Ready)
        stores[-1].last_error = StoreError("no space", hint="make some")
        made[-1].recorder.refusing()
        (trouble,) = await watch.until(Notice)
        assert word in trouble.message
        assert trouble.hint == "make some"
        stores[-1].last_error = None
        made[-1].recorder.refusing()
        assert (await watch.until(Notice, 2))[1].message == "recording works again"
        stop("done")
        await task


def test_auto_is_the_native_engine_and_only_the_chosen_one_is_imported() -> None:
    code = (
        "import sys; from scimproxy import app; print(app.engine_maker('auto').name, 'mitmproxy' in sys.modules,"
        " app.engine_maker('mitmproxy').name)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["native", "False", "mitmproxy"]


@pytest.mark.parametrize("engine", ["auto", "mitmproxy"])
def test_each_engine_gets_its_loop(engine: str) -> None:
    async def which() -> str:
        return type(asyncio.get_running_loop()).__module__

    module = app.run_in_loop(which(), engine)
    assert module.startswith("uvloop") is (engine == "auto" and sys.platform != "win32")


async def test_signals_are_for_the_main_thread(upstream: Target, tmp_path: Path) -> None:
    def elsewhere() -> Stopped:
        async def work() -> Stopped:
            stop = Stop()

            def tell(event: Event) -> None:
                if isinstance(event, Ready):
                    stop("done")

            return await record(options(upstream, tmp_path), tell, stop)

        return asyncio.run(work())

    assert (await asyncio.to_thread(elsewhere)).reason == "done"


@pytest.mark.parametrize("rewrite", [False, True])
async def test_addresses_that_clients_cannot_use_are_reported(tmp_path: Path, rewrite: bool) -> None:
    body = b'{"id":"1","meta":{"location":"http://127.0.0.1:1/scim/v2/Users/1"}}'
    with listener(lambda _: answer(200, body.replace(b":1/", b":%d/" % 1))) as port:
        target = Target("http", "127.0.0.1", port, "/scim/v2")
        watch, stop = Watch(), Stop()
        engine = EngineOptions(target=target, rewrite_locations=rewrite, public_origin="https://abc.example")
        task = asyncio.create_task(record(RecordOptions(engine=engine, db=tmp_path / "a.db"), watch, stop))
        (ready,) = await watch.until(Ready)
        for _ in range(2):
            assert await asyncio.to_thread(get, ready.url + "/Users/1") == 200
        await watch.until(Seen, 2)
        stop("enough")
        await task
    notices = [event for event in watch.events if isinstance(event, Notice)]
    assert len(notices) == 1
    assert "/meta/location shows http://127.0.0.1:1/scim/v2/Users/1" in notices[0].message
    assert "--rewrite-locations" in (notices[0].hint or "")


async def test_a_target_that_is_scimproxy_itself_is_refused(tmp_path: Path) -> None:
    port = free_port()
    engine = EngineOptions(target=Target("http", "localhost", port), listen_port=port)
    with pytest.raises(UsageError, match="scimproxy itself"):
        await record(RecordOptions(engine=engine, db=tmp_path / "a.db"), lambda _: None, Stop())
    with Reader.open(tmp_path / "a.db") as reader:
        assert reader.runs() == []
    with contextlib.closing(socket.create_server(("127.0.0.1", port))):  # nothing listens there any more
        pass


@pytest.mark.parametrize(
    ("guard", "status", "warned"),
    [
        (GuardOptions(), 200, True),
        (GuardOptions(), 401, False),
        (GuardOptions(token="a-token-of-some-length"), 200, False),
        (None, 200, False),
    ],
)
async def test_a_server_that_answers_without_credentials_is_told_of(
    tmp_path: Path, guard: GuardOptions | None, status: int, warned: bool
) -> None:
    asked: list[str] = []
    question = "/scim/v2/Users?count=1"
    came = threading.Event()

    def reply(target: str) -> bytes:
        asked.append(target)
        if target == question:
            came.set()
        return answer(status)

    with listener(reply) as port:
        watch, stop = Watch(), Stop()
        engine = EngineOptions(target=Target("http", "127.0.0.1", port, "/scim/v2"), guard=guard)
        task = asyncio.create_task(record(RecordOptions(engine=engine, db=tmp_path / "a.db"), watch, stop))
        (ready,) = await watch.until(Ready)
        if warned:
            (notice,) = await watch.until(Notice)
            assert "answers GET /scim/v2/Users without credentials (200)" in notice.message
        await asyncio.to_thread(get, ready.url + "/Users/1")
        await watch.until(Seen)
        asks = guard is not None and guard.token is None
        if asks:
            assert await asyncio.to_thread(came.wait, 30)
        stop("enough")
        stopped = await task
    assert stopped.exchanges == 1
    assert (question in asked) is asks
    assert any(isinstance(event, Notice) for event in watch.events) is warned


async def test_a_server_that_hangs_holds_up_no_stop(tmp_path: Path) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        watch, stop = Watch(), Stop()
        target = Target("http", "127.0.0.1", silent.getsockname()[1])
        engine = EngineOptions(target=target, guard=GuardOptions())
        task = asyncio.create_task(record(RecordOptions(engine=engine, db=tmp_path / "a.db"), watch, stop))
        await watch.until(Ready)
        stop("enough")
        assert (await task).reason == "enough"
