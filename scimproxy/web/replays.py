"""Replays of whole runs that a page asked for: how far they are, what came of them, the wish to end one.

One rule: what is sent is a run of its own (replay_run.py); the credentials go from the request that brought them into
that replay and nowhere else. Bounded: a few at a time, the last ones remembered; they end with the inspector.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from scimproxy.diff.report import sentence
from scimproxy.errors import ScimproxyError, UsageError
from scimproxy.replay_run import News, ReplayOptions, ReplayResult, Sent, Started, replay
from scimproxy.stopping import Stop
from scimproxy.web.asking import NotThere
from scimproxy.web.edits import ReadOnly

__all__ = ["Replays", "header_value"]

_AT_A_TIME = 2
_REMEMBERED = 50


class Replays:
    """The replays of one inspector, by the number of the run that each makes."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self._path = path
        self._read_only = read_only
        self._all: dict[int, _Going] = {}
        self._starting = 0

    async def begin(self, run_id: int, *, to: str | None, auth: str | None, fresh_names: bool) -> dict[str, Any]:
        """Begin to send a run again; return how far it is as soon as its new run is there.

        Raises:
            UsageError: a value cannot be used, nothing can be sent, or enough is being sent.
        """
        if self._read_only:
            raise ReadOnly("this inspector only shows", hint="`scimproxy replay RUN` sends a run again")
        if self._starting + sum(not one.task.done() for one in self._all.values()) >= _AT_A_TIME:
            raise UsageError(f"{_AT_A_TIME} runs are being replayed", hint="wait for one to end, or stop it")
        options = ReplayOptions(
            db=self._path, run_id=run_id, to=to or None, auth=header_value(auth), fresh_names=fresh_names
        )
        going = _Going(run_id, options)
        first: set[asyncio.Future[Any]] = {going.task, going.started}
        self._starting += 1
        try:
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:  # nobody waits for it any more
            going.stop("given up")
            going.stop("given up")
            raise
        finally:
            self._starting -= 1
        if not going.started.done():
            going.task.result()  # raises: it did not begin
        number = going.started.result()
        self._all[number] = going
        for old in [key for key, one in self._all.items() if one.task.done()][:-_REMEMBERED]:
            del self._all[old]
        return going.told(number)

    def of(self, run_id: int) -> dict[str, Any]:
        """Return how far the replay is that makes a run; raises NotThere."""
        return self._find(run_id).told(run_id)

    def stop(self, run_id: int) -> None:
        """End a replay in order: what is in flight is waited for; raises NotThere."""
        self._find(run_id).stop("stopped from the page")

    async def close(self) -> None:
        """End them all, without waiting for answers."""
        for one in self._all.values():
            one.stop("the inspector ends")
            one.stop("the inspector ends")
        await asyncio.gather(*(one.task for one in self._all.values()), return_exceptions=True)

    def _find(self, run_id: int) -> _Going:
        found = self._all.get(run_id)
        if found is None:
            raise NotThere(f"run {run_id} is no replay that was begun here")
        return found


class _Going:
    """One replay."""

    def __init__(self, source: int, options: ReplayOptions) -> None:
        self.source = source
        self.stop = Stop()
        self.started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._total = self._done = 0
        self._notices: tuple[str, ...] = ()
        self.task = asyncio.create_task(replay(options, self._tell, self.stop))
        self.task.add_done_callback(lambda it: it.cancelled() or it.exception())  # told by `told`, or by `begin`

    def _tell(self, news: News) -> None:
        if isinstance(news, Started):
            assert news.run.id is not None
            self._total, self._notices = news.total, news.notices
            self.started.set_result(news.run.id)
        elif isinstance(news, Sent):
            self._done, self._total = news.done, news.total

    def told(self, run_id: int) -> dict[str, Any]:
        """Return how far it is, and what came of it."""
        found: dict[str, Any] = {
            "run_id": run_id,
            "source_run_id": self.source,
            "total": self._total,
            "done": self._done,
            "ended": self.task.done(),
            "notices": list(self._notices),
            "sentence": None,
            "breaking": None,
            "problem": None,
        }
        if not self.task.done():
            return found
        try:
            result: ReplayResult = self.task.result()
        except ScimproxyError as exc:
            return {**found, "problem": exc.message}
        except asyncio.CancelledError:
            return {**found, "problem": "it was cut off"}
        return {
            **found,
            "notices": [*result.notices, *dict.fromkeys(result.left_out.values())],
            "sentence": sentence(result.diff),
            "breaking": result.diff.breaking,
            "problem": result.canceled or result.unanswered,
        }


def header_value(auth: str | None) -> str | None:
    """Return credentials as a header field may carry them; None for none.

    Raises:
        UsageError: they hold other characters. They are not repeated.
    """
    if auth is not None and not (auth.isascii() and auth.isprintable()):
        raise UsageError("the credentials hold characters that a header field cannot")
    return auth or None
