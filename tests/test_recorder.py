from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import factories
import pytest

from scimproxy import recorder as recorder_module
from scimproxy.errors import StoreError, StoreFull
from scimproxy.exchange import Connection, Exchange
from scimproxy.recorder import Recorder, Secrets
from scimproxy.store import Reader, StoreApart, StoreInside


class Sink:
    """A store whose commits the test ends by hand, in the event loop."""

    def __init__(self) -> None:
        self.last_error: StoreError | None = None
        self.futures: list[Future[int]] = []
        self.submitted: list[Exchange] = []
        self.announced: list[Exchange] = []
        self.connections: list[Connection] = []

    def submit_then(
        self, exchange: Exchange, told: Callable[[BaseException | None], None], changes: Mapping[str, Any]
    ) -> None:
        self.submitted.append(replace(exchange, **changes))
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
        """End everything that waits, in one go."""
        self.last_error = error
        futures, self.futures = self.futures, []
        for number, future in enumerate(futures, 1):
            if error is None:
                future.set_result(number)
            else:
                future.set_exception(error)


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
    recorder.submit(factories.exchange(), told.append)
    sink.commit(FULL)
    assert told == [None, FULL]


async def test_a_bug_of_the_store_withholds_the_answer() -> None:
    sink = Sink()
    task = await start(Recorder(sink), factories.exchange())
    sink.futures.pop().set_exception(KeyError("x"))
    with pytest.raises(StoreError, match="the store failed"):
        await task


async def test_secrets_stay_in_memory(tmp_path: Path) -> None:
    store = await StoreInside.open(tmp_path / "a.db")
    await store.start_run(factories.run())
    recorder = Recorder(store)
    await recorder.record(secret_exchange())
    await store.close()
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


@pytest.mark.parametrize("kind", [StoreInside, StoreApart])
async def test_an_opened_exchange_becomes_its_final_row(tmp_path: Path, kind: type[StoreInside | StoreApart]) -> None:
    begun = replace(factories.exchange(), state="pending", uid="w")
    store = await kind.open(tmp_path / "a.db")
    await store.start_run(factories.run())
    recorder = Recorder(store)
    await recorder.opened(begun)
    with Reader.open(tmp_path / "a.db") as reader:
        found = reader.exchange(1)
        assert found is not None
        assert found.state == "pending"
    await recorder.record(replace(begun, state="complete"))
    await store.close()
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
    real = recorder_module.redactions

    def watched(exchange: Exchange) -> tuple[dict[str, Any], dict[str, str]]:
        threads.append(threading.current_thread() is threading.main_thread())
        return real(exchange)

    monkeypatch.setattr(recorder_module, "redactions", watched)
    body = {"password": "5f1c-very-secret", "fill": "x" * 300_000}
    store = await StoreInside.open(tmp_path / "a.db")
    await store.start_run(factories.run())
    recorder = Recorder(store)
    await recorder.record(factories.exchange("POST", body=body))
    assert len(recorder.secrets) == 1
    await store.close()
    assert threads == [False]
    assert not holds(tmp_path, b"5f1c-very-secret")


async def test_what_cannot_be_cleaned_is_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Exchange) -> tuple[dict[str, Any], dict[str, str]]:
        raise ZeroDivisionError

    monkeypatch.setattr(recorder_module, "redactions", broken)
    sink = Sink()
    with pytest.raises(StoreError):
        await Recorder(sink).record(factories.exchange("POST", body={"fill": "x" * 300_000}))
    assert sink.submitted == []
