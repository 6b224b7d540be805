"""Private or Shareable from a page: a share listener of the inspector's own, and the links that it made.

One rule: the listener (share_site.py) is another port that serves shared runs and nothing of the inspector; it is
started when the first link is made, and with the inspector it ends: the runs that were made shareable here are
private again. A link is told once, in the answer to the one who made it. One that died without closing left rows:
no listener honours them, and the next that begins takes them away.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from pathlib import Path
from typing import Any

from scimproxy.errors import ScimproxyError, UsageError
from scimproxy.share_site import Site
from scimproxy.store.shares import Share, clear_dead, share_run, shares, unshare_run
from scimproxy.web.edits import ReadOnly

__all__ = ["Sharing", "open_shares"]

LASTS_S = 8 * 3600.0
"""How long a link works, as with `scimproxy share`."""


class Sharing:
    """The shareable runs of one database, as its pages make them; `port` 0: any, when the first link is made."""

    def __init__(self, path: Path, *, read_only: bool, port: int = 0) -> None:
        self._path = path
        self._read_only = read_only
        self._wanted = port
        self._one = asyncio.Lock()
        self._site: Site | None = None
        self._port = 0
        self._made: dict[int, Share] = {}
        self._closed = False

    async def begin(self) -> None:
        """Take away what listeners left that are gone; where nothing may be changed it stays, and opens nothing."""
        if not self._read_only:
            with contextlib.suppress(ScimproxyError):  # it opens nothing anyway
                await asyncio.to_thread(clear_dead, self._path)

    async def share(self, run_id: int, *, keep_names: bool) -> dict[str, Any]:
        """Make a run shareable and return its link; a link that it had before is dead.

        Raises:
            UsageError: nothing may be changed here, or no port is to be had.
            StoreError: there is no such run, or the database cannot be written.
        """
        self._refuse_read_only()
        async with self._one:
            if self._closed:
                raise UsageError("the inspector is ending")
            await self._listen()
            token, now = secrets.token_urlsafe(32), time.time()
            await asyncio.to_thread(
                share_run, self._path, run_id, token, keep_names=keep_names, now=now, expires_at=now + LASTS_S
            )
            self._made[run_id] = (await asyncio.to_thread(open_shares, self._path))[run_id]
        return {"url": f"http://127.0.0.1:{self._port}/s/{token}", "expires_at": now + LASTS_S}

    async def unshare(self, run_id: int) -> None:
        """Make a run private: its link is dead at once, whoever made it.

        Raises:
            UsageError: nothing may be changed here.
            StoreError: the database cannot be written.
        """
        self._refuse_read_only()
        async with self._one:
            await asyncio.to_thread(unshare_run, self._path, run_id)
            self._made.pop(run_id, None)

    async def close(self) -> None:
        """Stop listening; what was made shareable here is private again. What others share stays."""
        async with self._one:
            self._closed = True
            await asyncio.to_thread(self._withdraw)
            if self._site is not None:
                await self._site.close()

    def _withdraw(self) -> None:
        try:
            now = open_shares(self._path) if self._made else {}
            for run_id, made in self._made.items():
                if now.get(run_id) == made:
                    unshare_run(self._path, run_id)
        except ScimproxyError:
            return  # the database is gone: nobody serves its links, and they end by themselves

    async def _listen(self) -> None:
        if self._site is not None:
            return
        site = Site(self._path)
        try:
            self._port = await site.start(port=self._wanted)
        except OSError as exc:
            await site.close()
            raise UsageError(
                f"the share listener cannot have port {self._wanted or 'any'}: {exc.strerror or exc}",
                hint="end what listens there, or choose another with --share-port" if self._wanted else None,
            ) from exc
        self._site = site

    def _refuse_read_only(self) -> None:
        if self._read_only:
            raise ReadOnly("this inspector only shows", hint="`scimproxy share RUN` makes a run shareable")


def open_shares(path: Path) -> dict[int, Share]:
    """Return the shares whose links work now, by run.

    Raises:
        StoreError: the database cannot be read.
    """
    now = time.time()
    return {one.run_id: one for one in shares(path) if one.open_at(now)}
