"""The share listener: shareable runs, read-only, each behind an unguessable link; nothing else is there.

One rule: it answers GET of one path with one page, and everything else with one and the same 404, so that nobody
learns whether a run, a link or an inspector exists. The store is asked at each request: a run that is private again
is gone at once. Place in the flow: `scimproxy share` -> this listener -> store.shares -> report page.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from scimproxy.errors import ScimproxyError
from scimproxy.pages import file_policy
from scimproxy.report.material import read_material
from scimproxy.report.page import html
from scimproxy.store import Reader
from scimproxy.store.shares import Share, find_share

__all__ = ["Site"]

_log = logging.getLogger(__name__)
_deaf = logging.getLogger(f"{__name__}.wire")
"""Of aiohttp, which logs what is no HTTP with its bytes: anybody's, and secrets among them."""
_deaf.disabled = True
_TOKEN = re.compile(r"/s/([A-Za-z0-9_-]{43})")
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": f"{file_policy(with_script=True)}; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "scimproxy",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
}


class Site:
    """The listener of one run of a database; made inside the event loop.

    `run_id` None: of every shareable run. A link that a killed `share` of another run left open is none of ours.
    """

    def __init__(self, db: Path, run_id: int | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self._db = db
        self._run_id = run_id
        self._clock = clock
        self._making = asyncio.Lock()  # one page is made at a time: a flood of readers costs one core, not all
        self._made: tuple[tuple[object, ...], str] | None = None
        self._runner: web.ServerRunner | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen; return the port.

        Raises:
            OSError: the port is taken.
        """
        # A reader who takes the page slowly does not hold up the end.
        server = web.Server(self._answer, access_log=None, logger=_deaf)
        runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await runner.setup()
        self._runner = runner
        site = web.TCPSite(runner, host, port)
        await site.start()
        return int(runner.addresses[0][1])

    async def close(self) -> None:
        """Stop listening. Safe to call twice."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        found = _TOKEN.fullmatch(request.rel_url.raw_path)
        token = (
            found[1] if found is not None and request.method in {"GET", "HEAD"} and not request.query_string else ""
        )
        # Asked also without a token: that nothing is there takes as long as that a link is wrong.
        try:
            share = await asyncio.to_thread(find_share, self._db, token, self._clock())
            if share is not None and self._run_id not in {None, share.run_id}:
                share = None
            page = None if share is None or not token else await self._page(share)
        except ScimproxyError:  # the database is gone, or being changed: nothing is there
            page = None
        except Exception:  # noqa: BLE001 - our own fault: logged with its traceback, and told to nobody
            _log.exception("a shared run could not be shown")
            page = None
        if page is None:
            return web.Response(status=404, text="There is nothing here.\n", headers=_HEADERS)
        return web.Response(text=page, content_type="text/html", charset="utf-8", headers=_HEADERS)

    async def _page(self, share: Share) -> str | None:
        async with self._making:
            return await asyncio.to_thread(self._make, share)

    def _make(self, share: Share) -> str | None:
        """Return the page of a share; the last one is kept as long as nothing was recorded since."""
        with Reader.open(self._db) as reader:
            run = reader.run(share.run_id)
            if run is None:
                return None
            key = (share, reader.newest_seq(), run)
            if self._made is not None and self._made[0] == key:
                return self._made[1]
            material, _ = read_material(reader, run, keep_names=share.keep_names)
        page = html(material)
        self._made = (key, page)
        return page
