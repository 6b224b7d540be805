"""What is new in the database, for the pages that watch it: one look for all of them, however many there are.

One rule: looking costs a recorder nothing: it reads one number of the file (`PRAGMA data_version`), and only while
somebody watches. Each watcher then reads for itself what came after the last thing it was told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from scimproxy.errors import StoreError
from scimproxy.web.readers import Eye, Readers

__all__ = ["Feed"]

_EVERY_S = 0.1
_AFTER_TROUBLE_S = 1.0
_log = logging.getLogger(__name__)


class Feed:
    """Wakes watchers when something was committed."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._watchers: set[asyncio.Event] = set()
        self._looking: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[asyncio.Event]:
        """Give an event that is set whenever something was committed; it is set at first."""
        changed = asyncio.Event()
        changed.set()
        self._watchers.add(changed)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            yield changed
        finally:
            self._watchers.discard(changed)
            if not self._watchers and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    def wake(self) -> None:
        """Wake all watchers: something else has changed."""
        for watcher in self._watchers:
            watcher.set()

    @property
    def watchers(self) -> int:
        """How many watch."""
        return len(self._watchers)

    async def _look(self) -> None:
        eye = Eye(self._readers.path)
        seen: int | None = None
        try:
            while True:
                try:
                    version = await asyncio.to_thread(eye.look)
                except StoreError as exc:
                    _log.info("the database cannot be looked at: %s", exc)
                    await asyncio.sleep(_AFTER_TROUBLE_S)
                    continue
                if version != seen:
                    seen = version
                    self.wake()
                await asyncio.sleep(_EVERY_S)
        finally:
            eye.close()
