"""Sending a recorded exchange again from a page, as it was or edited.

One rule: what is sent is a run of its own (replay_run.py), so the recording stays as it is; credentials come from the
person each time and are kept nowhere.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from scimproxy.diff.report import sentence
from scimproxy.errors import FormatError, UsageError
from scimproxy.replay.request_text import from_text, to_text
from scimproxy.replay_run import News, ReplayOptions, Sent, prepare, replay
from scimproxy.stopping import Stop
from scimproxy.web.edits import ReadOnly
from scimproxy.web.replays import header_value

__all__ = ["Replaying"]

_AT_A_TIME = 4


class Replaying:
    """Replays for the pages of one database."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self._path = path
        self.read_only = read_only
        self._turn = asyncio.Semaphore(_AT_A_TIME)

    async def prepared(self, exchange_id: int) -> dict[str, Any]:
        """Return what would be sent, as a text to edit, where to, and what a person should know.

        Raises:
            UsageError: it cannot be sent, or its body is no text.
        """
        self._refuse_read_only()
        found = await asyncio.to_thread(prepare, ReplayOptions(db=self._path, exchange_id=exchange_id))
        return {
            "text": to_text(found.request()),
            "to": str(found.target),
            "notices": list(found.notices),
            "left_out": list(found.left_out.values()),
        }

    async def send(self, exchange_id: int, *, text: str | None, to: str | None, auth: str | None) -> dict[str, Any]:
        """Send it; return the new run and exchange, and what differs from what was.

        Raises:
            UsageError: a value cannot be used; nothing was sent.
        """
        self._refuse_read_only()
        auth = header_value(auth)
        options = ReplayOptions(db=self._path, exchange_id=exchange_id, to=to or None, auth=auth)
        request = None
        if text is not None:
            original = (await asyncio.to_thread(prepare, options)).request()
            try:
                request = from_text(text, original)
            except FormatError as exc:
                raise UsageError(exc.message, hint=exc.hint) from exc
            if request is None:
                raise UsageError("there is no request left to send")
        sent: list[int | None] = []

        def tell(news: News) -> None:
            if isinstance(news, Sent):
                sent.append(news.exchange.id)

        options = ReplayOptions(db=self._path, exchange_id=exchange_id, to=to or None, auth=auth, request=request)
        async with self._turn:
            result = await replay(options, tell, Stop())
        return {
            "run_id": result.run.id,
            "exchange_id": sent[0] if sent else None,
            "sentence": sentence(result.diff),
            "breaking": result.diff.breaking,
            "notices": [*result.notices, *result.left_out.values()],
            "unanswered": result.unanswered,
        }

    def _refuse_read_only(self) -> None:
        if self.read_only:
            raise ReadOnly("this inspector only shows", hint="the one that `up` starts can send requests again")
