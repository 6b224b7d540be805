from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import factories
import pytest

from scimproxy import recorder as recorder_module
from scimproxy.errors import StoreError, StoreFull
from scimproxy.exchange import Connection, Exchange
from scimproxy.recorder import Recorder, Secrets
from scimproxy.store import Reader, Store


class Sink:
    """A store whose commits the test ends by hand, from another thread, as the writer does."""

    def __init__(self) -> None:
        self.last_error: StoreError | None = None
        self.futures: list[Future[int]] = []
        self.submitted: list[Exchange] = []
        self.announced: list[Exchange] = []
        self.connections: list[Connection] = []

    def submit_then(self, exchange: Exchange, told: Callable[[BaseException | None], None]) -> None:
        self.submitted.append(exchange)
        future: Future[int] = Future()
        future.add_done_callback(lambda done: told(done.exception()))
        self.futures.append(future)

    def pending(self, exchange: Exchange, told: Callable[[BaseException | None], None] | None = None) -> None:
        self.announced.append(exchange)
        if told is not None:
            future: Future[int] = Future()
            future.add_done_callback(lambda done: told(done.exception()))
            self.futures.append(future)

    def connection(self, connection: Connection) -> None:
        self.connections.append(connection)

    def commit(self, error: StoreError | None = None) -> None:
        """End everything that waits, in one go in another thread."""

        def end() -> None:
            self.last_error = error
            for number, future in enumerate(self.futures, 1):
                if error is None:
                    future.set_result(number)
                else:
                    future.set_exception(error)
            self.futures = []

        thread = threading.Thread(target=end)
        thread.start()
        thread.join()


FULL = StoreFull("no space is left", hint="free some")
SECRET = {"Authorization": "Bearer 5f1c-very-secret"}


def secret_exchange() -> Exchange:
    return factories.exchange(request=factories.request(headers=SECRET))


def holds(folder: Path, text: bytes) -> bool:
    files = list(folder.iterdir())
    assert files
    return any(text in file.read_bytes() for file in files)


async def start(recorder: Recorder, exchange: Exchange) -> asyncio.Task[None]:
    task = asyncio.create_task(recorder.record(exchange))
    await asyncio.sleep(0)  # let it reach the store
    return task


async def test_returns_only_after_the_commit() -> None:
    sink = Sink()
    task = await start(Recorder(sink), factories.exchange())
    assert not task.done()
    sink.commit()
    await task


async def test_a_group_wakes_the_loop_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = Sink()
    recorder = Recorder(sink)
    tasks = [await start(recorder, factories.exchange()) for _ in range(50)]
    loop = asyncio.get_running_loop()
    calls = []
    original = loop.call_soon_threadsafe
    monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *args: (calls.append(args), original(*args))[1])
    sink.commit()
    await asyncio.gather(*tasks)
    assert len(calls) == 1


async def test_waits_again_after_a_group() -> None:
    sink = Sink()
    recorder = Recorder(sink)
    for _ in range(3):
        task = await start(recorder, factories.exchange())
        sink.commit()
        await task


async def test_a_cancelled_exchange_does_not_disturb_its_group() -> None:
    sink = Sink()
    recorder = Recorder(sink)
    gone, stays = await start(recorder, factories.exchange()), await start(recorder, factories.exchange())
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    sink.commit()
    await stays


async def test_an_engine_may_ask_to_be_called_back() -> None:
    sink = Sink()
    recorder = Recorder(sink)
    told: list[object] = []
    recorder.submit(factories.exchange(), told.append)
    sink.commit()
    assert told == []  # in the event loop, not in the writer's thread
    await asyncio.sleep(0)
    recorder.submit(factories.exchange(), told.append)
    sink.commit(FULL)
    await asyncio.sleep(0)
    assert told == [None, FULL]


async def test_a_callback_that_raises_takes_nobody_with_it() -> None:
    sink = Sink()
    recorder = Recorder(sink)
    raised: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context["exception"]))
    recorder.submit(factories.exchange(), lambda _: 1 / 0)
    task = await start(recorder, factories.exchange())
    sink.commit()
    await task
    assert [type(error) for error in raised] == [ZeroDivisionError]


async def test_a_bug_of_the_store_withholds_the_answer() -> None:
    sink = Sink()
    task = await start(Recorder(sink), factories.exchange())
    sink.futures.pop().set_exception(KeyError("x"))
    with pytest.raises(StoreError, match="the store failed"):
        await task


async def test_secrets_stay_in_memory(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store:
        store.start_run(factories.run())
        recorder = Recorder(store)
        await recorder.record(secret_exchange())
    with Reader.open(tmp_path / "a.db") as reader:
        stored = reader.exchange(1)
    assert stored is not None
    scheme, mark = (stored.request.headers.get("Authorization") or "").split()
    assert scheme == "Bearer"
    assert recorder.secrets.get(mark) == "5f1c-very-secret"
    assert not holds(tmp_path, b"very-secret")
    assert "very-secret" not in repr(recorder.secrets)


async def test_pending_exchanges_are_redacted_too() -> None:
    sink = Sink()
    Recorder(sink).pending(secret_exchange())
    assert "very-secret" not in (sink.announced[0].request.headers.get("Authorization") or "")


async def test_an_opened_exchange_is_committed_and_goes_on() -> None:
    sink = Sink()
    recorder = Recorder(sink)
    task = asyncio.create_task(recorder.opened(secret_exchange()))
    await asyncio.sleep(0)
    assert not task.done()
    sink.commit()
    await task
    assert "very-secret" not in (sink.announced[0].request.headers.get("Authorization") or "")
    task = asyncio.create_task(recorder.opened(secret_exchange()))
    await asyncio.sleep(0)
    sink.commit(FULL)
    with pytest.raises(StoreFull):
        await task
    cancelled = asyncio.create_task(recorder.opened(secret_exchange()))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    sink.commit()


async def test_an_opened_exchange_becomes_its_final_row(tmp_path: Path) -> None:
    begun = replace(factories.exchange(), state="pending", uid="w")
    with Store.open(tmp_path / "a.db") as store:
        store.start_run(factories.run())
        recorder = Recorder(store)
        await recorder.opened(begun)
        with Reader.open(tmp_path / "a.db") as reader:
            found = reader.exchange(1)
            assert found is not None
            assert found.state == "pending"
        await recorder.record(replace(begun, state="complete"))
        with Reader.open(tmp_path / "a.db") as reader:
            found = reader.exchange(1)
            assert found is not None
            assert found.state == "complete"
            assert reader.exchange(2) is None


async def test_keep_secrets_is_the_exception() -> None:
    sink = Sink()
    recorder = Recorder(sink, keep_secrets=True)
    task = await start(recorder, secret_exchange())
    sink.commit()
    await task
    assert sink.submitted[0].request.headers.get("Authorization") == "Bearer 5f1c-very-secret"
    assert len(recorder.secrets) == 0


async def test_connections_pass() -> None:
    sink = Sink()
    connection = factories.connection()
    Recorder(sink).connection(connection)
    assert sink.connections == [connection]


async def test_a_store_that_fails_withholds_answers_and_refuses() -> None:
    sink = Sink()
    told: list[StoreError | None] = []
    recorder = Recorder(sink, on_trouble=told.append)
    assert recorder.refusing() is None
    task = await start(recorder, factories.exchange())
    sink.commit(FULL)
    with pytest.raises(StoreFull):
        await task
    assert recorder.refusing() is FULL
    assert recorder.lost_count == 0
    sink.last_error = None  # the store's own attempt worked
    assert recorder.refusing() is None
    assert told == [FULL, None]


async def test_one_exchange_that_fits_no_column_is_no_trouble() -> None:
    sink = Sink()
    recorder = Recorder(sink)
    task = await start(recorder, factories.exchange())
    sink.commit(StoreError("a lone surrogate"))
    sink.last_error = None
    with pytest.raises(StoreError):
        await task
    assert recorder.refusing() is None


async def test_pass_when_full_counts_what_is_lost() -> None:
    sink = Sink()
    recorder = Recorder(sink, pass_when_full=True)
    task = await start(recorder, factories.exchange())
    sink.commit(FULL)
    await task
    assert recorder.refusing() is None
    await recorder.record(factories.exchange())  # does not wait for a store that cannot write
    assert len(sink.submitted) == 1
    assert recorder.lost_reasons == {"no space is left": 2}
    sink.last_error = None
    task = await start(recorder, factories.exchange())
    sink.commit()
    await task
    assert recorder.lost_count == 2


async def test_lost_reasons_are_bounded() -> None:
    recorder = Recorder(Sink())
    for number in range(1000):
        recorder.lost(f"reason {number}")
    assert recorder.lost_count == 1000
    assert len(recorder.lost_reasons) <= 101


def test_the_oldest_secrets_are_forgotten() -> None:
    secrets = Secrets(most=2)
    secrets.add({"a": "1"})
    secrets.add({"b": "2"})
    secrets.add({"a": "1"})
    secrets.add({"c": "3"})
    assert [secrets.get(name) for name in "abc"] == ["1", None, "3"]


def test_secrets_are_bounded_in_characters() -> None:
    secrets = Secrets(characters=100, longest=60)
    secrets.add({"long": "x" * 61})
    assert secrets.get("long") is None
    secrets.add({"a": "x" * 60, "b": "y" * 60})
    assert secrets.get("a") is None
    assert secrets.get("b") == "y" * 60


async def test_a_big_exchange_is_cleaned_beside_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[bool] = []
    real = recorder_module.redact

    def watched(exchange: Exchange) -> tuple[Exchange, dict[str, str]]:
        threads.append(threading.current_thread() is threading.main_thread())
        return real(exchange)

    monkeypatch.setattr(recorder_module, "redact", watched)
    body = {"password": "5f1c-very-secret", "fill": "x" * 300_000}
    with Store.open(tmp_path / "a.db") as store:
        store.start_run(factories.run())
        recorder = Recorder(store)
        await recorder.record(factories.exchange("POST", body=body))
        assert len(recorder.secrets) == 1
    assert threads == [False]
    assert not holds(tmp_path, b"5f1c-very-secret")


async def test_what_cannot_be_cleaned_is_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Exchange) -> tuple[Exchange, dict[str, str]]:
        raise ZeroDivisionError

    monkeypatch.setattr(recorder_module, "redact", broken)
    sink = Sink()
    with pytest.raises(StoreError):
        await Recorder(sink).record(factories.exchange("POST", body={"fill": "x" * 300_000}))
    assert sink.submitted == []
