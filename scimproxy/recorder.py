"""The way of an exchange from the engine into the store: redacted, submitted, awaited.

One rule: an exchange that `record` returned for is recorded (see store/ahead.py), unless `pass_when_full` allowed
it to pass, and then it is counted as lost. Secrets leave the exchange here and stay in memory, in a bounded map, so
that this process can replay. Place in the flow: engine -> Recorder -> Store; it implements
`scimproxy.proxy.engine.Recorder`.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from scimproxy.errors import ScimproxyError, StoreError
from scimproxy.exchange import Connection, Exchange
from scimproxy.passed import Passed
from scimproxy.redact import redact, redact_passed, redactions

__all__ = ["Recorder", "Secrets", "Sink"]

_log = logging.getLogger(__name__)

_MOST_REASONS = 100


class Sink(Protocol):
    """The part of the store that recording needs."""

    @property
    def last_error(self) -> StoreError | None:
        """Why nothing can be written at present; the store tries by itself and takes it back."""

    def submit_then(
        self, exchange: Exchange, told: Callable[[BaseException | None], None], changes: Mapping[str, Any]
    ) -> None:
        """Queue an exchange; `told` is called in the event loop, with None when it is committed or else why not.

        `changes` are fields that are stored in place of the exchange's own.
        """

    def submit_passed(self, passed: Passed, told: Callable[[BaseException | None], None]) -> None:
        """Do the same for an exchange that went as most do."""

    def pending(self, exchange: Exchange, told: Callable[[BaseException | None], None] | None = None) -> None:
        """Queue an exchange that is still in flight; `told` as above."""

    def connection(self, connection: Connection) -> None:
        """Queue what became of a connection."""


class Secrets:
    """Secrets by fingerprint, for the live process only; the least recently used go first.

    Bounded in number and in characters; a secret longer than `longest` is not kept (its exchange cannot be
    replayed with it, which the replayer says).
    """

    def __init__(self, *, most: int = 4096, characters: int = 4 * 1024 * 1024, longest: int = 64 * 1024) -> None:
        self._known: OrderedDict[str, str] = OrderedDict()
        self._most = most
        self._characters = characters
        self._longest = longest
        self._held = 0

    def add(self, secrets: Mapping[str, str]) -> None:
        """Remember secrets, forgetting the oldest where there is no room."""
        for fingerprint, secret in secrets.items():
            if fingerprint in self._known:
                self._known.move_to_end(fingerprint)
            elif len(secret) <= self._longest:
                self._known[fingerprint] = secret
                self._held += len(secret)
        while self._known and (len(self._known) > self._most or self._held > self._characters):
            _, forgotten = self._known.popitem(last=False)
            self._held -= len(forgotten)

    def get(self, fingerprint: str) -> str | None:
        """Return the secret behind a fingerprint, or None where it is not known (any more)."""
        return self._known.get(fingerprint)

    def __len__(self) -> int:
        return len(self._known)

    def __repr__(self) -> str:
        return f"Secrets({len(self._known)} kept)"


_BIG = 256 * 1024


def _is_big(exchange: Exchange) -> bool:
    """Whether the contents of an exchange are worth a thread."""
    answer = exchange.response
    return len(exchange.request.content.data) + (len(answer.content.data) if answer is not None else 0) > _BIG


class Recorder:
    """Records what an engine saw; made inside the event loop that the engine runs in.

    Args:
        store: where exchanges go.
        keep_secrets: store credentials as they came; the explicit exception to redaction.
        pass_when_full: let traffic through unrecorded while the store fails, and count it as lost.
        on_trouble: told when recording begins to fail (the error) and when it works again (None).
    """

    def __init__(
        self,
        store: Sink,
        *,
        keep_secrets: bool = False,
        pass_when_full: bool = False,
        on_trouble: Callable[[StoreError | None], None] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._store = store
        self._keep_secrets = keep_secrets
        self._pass_when_full = pass_when_full
        self._on_trouble = on_trouble
        self._told: StoreError | None = None
        self.secrets = Secrets()
        self.lost_reasons: Counter[str] = Counter()

    @property
    def lost_count(self) -> int:
        """How many exchanges passed without being recorded."""
        return self.lost_reasons.total()

    async def record(self, exchange: Exchange) -> None:
        """Store an exchange and return once it is committed.

        Raises:
            StoreError: it could not be stored, and `pass_when_full` is off.
        """
        waiter: asyncio.Future[None] = self._loop.create_future()

        def done(problem: ScimproxyError | None) -> None:
            if waiter.done():  # the exchange's task was cancelled meanwhile
                return
            if problem is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(problem)

        self.submit(exchange, done)
        await waiter

    def submit(self, exchange: Exchange, done: Callable[[ScimproxyError | None], None]) -> None:
        """Store an exchange; `done` is called in the event loop, with None when it is committed or else why not."""
        if self._pass_when_full and (error := self.look()) is not None:
            self.lost(str(error))  # without trying: a locked database would hold up every answer for seconds
            self._loop.call_soon(done, None)
            return
        if _is_big(exchange) and not self._keep_secrets:
            # Looking for secrets in megabytes takes a while: not in the event loop.
            cleaning = self._loop.run_in_executor(None, redactions, exchange)
            cleaning.add_done_callback(functools.partial(self._submit_cleaned, exchange, done))
            return
        changes: Mapping[str, Any] = {}
        if not self._keep_secrets:
            changes, secrets = redactions(exchange)
            if secrets:
                self.secrets.add(secrets)
        self._store.submit_then(exchange, functools.partial(self._ended, done), changes)

    def submit_passed(self, passed: Passed, done: Callable[[ScimproxyError | None], None]) -> None:
        """Do what `submit` does for an exchange that went as most do; it is the store's from now on."""
        big = len(passed.content.data) + len(passed.response_content.data) > _BIG
        if big or self._pass_when_full:
            self.submit(passed.exchange(), done)
            return
        if not self._keep_secrets:
            secrets = redact_passed(passed)
            if secrets:
                self.secrets.add(secrets)
        self._store.submit_passed(passed, functools.partial(self._ended, done))

    def _submit_cleaned(
        self,
        exchange: Exchange,
        done: Callable[[ScimproxyError | None], None],
        cleaning: asyncio.Future[tuple[dict[str, Any], dict[str, str]]],
    ) -> None:
        try:
            changes, secrets = cleaning.result()
        except Exception as exc:  # noqa: BLE001 - our own fault: what may hold secrets is not stored, and that is said
            _log.exception("an exchange could not be cleaned of secrets")
            self._ended(done, exc)
            return
        self.secrets.add(secrets)
        self._store.submit_then(exchange, functools.partial(self._ended, done), changes)

    def pending(self, exchange: Exchange) -> None:
        """Announce an exchange in flight."""
        self._store.pending(self._clean(exchange))

    async def opened(self, exchange: Exchange) -> None:
        """Announce an exchange whose answer's head goes out long before its end; returns once that is committed.

        Raises:
            StoreError: as `record`.
        """
        waiter: asyncio.Future[ScimproxyError | None] = self._loop.create_future()

        def done(problem: ScimproxyError | None) -> None:
            if not waiter.done():
                waiter.set_result(problem)

        self._store.pending(self._clean(exchange), functools.partial(self._ended, done))
        if (problem := await waiter) is not None:
            raise problem

    def connection(self, connection: Connection) -> None:
        """Pass on what became of a connection."""
        self._store.connection(connection)

    def refusing(self) -> StoreError | None:
        """Return why nothing can be recorded now; it ends by itself, because the store goes on trying."""
        error = self.look()
        return None if self._pass_when_full else error

    def lost(self, reason: str) -> None:
        """Count an exchange that passed without being recorded."""
        if reason not in self.lost_reasons and len(self.lost_reasons) >= _MOST_REASONS:
            reason = "other reasons"  # the texts come from errors: never let them grow without end
        self.lost_reasons[reason] += 1

    def look(self) -> StoreError | None:
        """Return why the store cannot write at present, and tell where that changed since the last look."""
        error = self._store.last_error
        if (error is None) != (self._told is None):
            self._told = error
            if self._on_trouble is not None:
                self._on_trouble(error)  # which tells a person: once is enough
            elif error is None:
                _log.info("recording works again")
            else:
                _log.warning("recording fails: %s", error)
        return error

    def _clean(self, exchange: Exchange) -> Exchange:
        if self._keep_secrets:
            return exchange
        clean, secrets = redact(exchange)
        if secrets:
            self.secrets.add(secrets)
        return clean

    def _ended(self, done: Callable[[ScimproxyError | None], None], error: BaseException | None) -> None:
        done(None if error is None else self._problem(error))

    def _problem(self, error: BaseException) -> ScimproxyError | None:
        """Return why an answer must be withheld; None where it may go, counted as lost."""
        self.look()
        if self._pass_when_full:
            self.lost(str(error))
            return None
        return error if isinstance(error, StoreError) else StoreError(f"the store failed: {error!r}")
