"""The inspector's server: routes behind the door, the headers that keep a page harmless, errors in words.

One rule: every request passes `_guarded` first, and every route but the open ones (the door's own) demands the token.
Nothing is logged of a request: its cookie and its token are secrets.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from scimproxy.errors import EngineError, ScimproxyError, StoreError
from scimproxy.web.api import API, Api
from scimproxy.web.asking import answer, body, of_error, problem
from scimproxy.web.door import Asked, Door, Refused, folder_of
from scimproxy.web.edits import Edits, ReadOnly
from scimproxy.web.feed import Feed
from scimproxy.web.following import Follows
from scimproxy.web.mocks import Mocks
from scimproxy.web.pages import Pages
from scimproxy.web.readers import Readers
from scimproxy.web.replaying import Replaying
from scimproxy.web.replays import Replays
from scimproxy.web.routes import Handler, Route
from scimproxy.web.sharing import Sharing
from scimproxy.web.stream import Stream

__all__ = ["Inspector", "InspectorOptions", "new_token"]

_log = logging.getLogger(__name__)
_deaf = logging.getLogger(f"{__name__}.wire")
"""Of aiohttp, which logs what is no HTTP with its bytes, a token among them."""
_deaf.disabled = True
_MOST_BODY = 256 * 1024
_WRONG_TOKENS = 50
"""So many wrong tokens, and the door takes none for a while."""
_LOCKED_S = 30.0

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types scimproxy"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


def new_token() -> str:
    """Return a token that nobody guesses."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectorOptions:
    """What to show and where. `port` 0: any; `read_only`: nothing may be changed from a page."""

    db: Path
    token: str
    host: str = "127.0.0.1"
    port: int = 0
    read_only: bool = True
    beside_recorder: bool = False
    """A recorder makes the derived rows; searches never take its lock."""
    suites: tuple[str, ...] = ()
    """Files or bundled suites to look for in the recording that begins next."""
    after_run: int | None = None
    """The newest run before that recording, where it is known already: this inspector was started again."""
    share_port: int = 0
    """Where links of shareable runs lead; 0: any port."""


class Inspector:
    """One inspector, from `start` to `stop`; made in the event loop."""

    def __init__(self, options: InspectorOptions) -> None:
        self._options = options
        self._readers = Readers(options.db, catches_up=not options.beside_recorder)
        self._feed = Feed(self._readers)
        self._stream = Stream(self._readers, self._feed)
        self._edits = Edits(options.db, read_only=options.read_only)
        self._sharing = Sharing(options.db, read_only=options.read_only, port=options.share_port)
        self._replays = Replays(options.db, read_only=options.read_only)
        self._mocks = Mocks(options.db, read_only=options.read_only)
        self._follows = Follows(self._readers, self._feed, read_only=options.read_only)
        self._api = Api(
            self._readers,
            self._edits,
            replaying=Replaying(options.db, read_only=options.read_only),
            replays=self._replays,
            sharing=self._sharing,
            mocks=self._mocks,
            follows=self._follows,
        )
        self._folder = folder_of(options.token)
        self._pages = Pages(self._readers, self._api, read_only=options.read_only, home=self._folder)
        self._runner: web.AppRunner | None = None
        self._warming: asyncio.Task[None] | None = None
        self._door: Door | None = None
        self._wrong = 0
        self._locked_until = 0.0
        self.port = 0
        self.after_run = options.after_run

    @property
    def url(self) -> str:
        """Where it is, without the token; its pages are in a folder that is told for it."""
        host = f"[{self._options.host}]" if ":" in self._options.host else self._options.host
        return f"http://{host}:{self.port}/"

    def routes(self) -> list[Route]:
        """Return every route."""
        return [
            Route("POST", f"{API}/session", self._open_session, "Give the token, get the cookie and its folder",
                  open=True, body={"token": "string"}),
            Route("DELETE", f"{API}/session", self._close_session, "Forget the cookie"),
            Route(
                "GET", f"{API}/events", self._stream.handle, "Exchanges as they come (server-sent events)",
                query={"run": "of this run", "filter": "as for exchanges", "after": "writes after this one"},
                media="text/event-stream",
            ),
            *self._api.routes(),
            *self._pages.routes(),
        ]  # fmt: skip

    def app(self) -> web.Application:
        """Return the application."""
        app = web.Application(middlewares=[self._guarded], client_max_size=_MOST_BODY)
        app.on_response_prepare.append(_harmless)
        self._api.described = [route for route in self.routes() if route.path.startswith(API)]
        for route in self.routes():
            for folder in ("", self._folder):  # with the token in a header; with the cookie
                app.router.add_route(route.method, folder + route.path, route.handler, name=None)
        return app

    def _path(self, path: str) -> str:
        """Return a path without our folder."""
        return path.removeprefix(self._folder) if path.startswith(f"{self._folder}/") else path

    async def start(self) -> None:
        """Listen.

        Raises:
            EngineError: the port is taken.
        """
        listener = _listen(self._options.host, self._options.port)
        self.port = listener.getsockname()[1]
        self._door = Door(self._options.token, self.port)
        self._open = {(route.method, route.path) for route in self.routes() if route.open}
        self._runner = web.AppRunner(
            self.app(), access_log=None, logger=_deaf, handler_cancellation=True, handle_signals=False,
            shutdown_timeout=1.0,
        )  # fmt: skip
        await self._sharing.begin()
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()
        if self._options.suites:
            if self.after_run is None:
                self.after_run = await self._newest_run()
            self._follows.expect(list(self._options.suites), self.after_run)
        self._warming = asyncio.create_task(self._pages.warm())

    async def stop(self) -> None:
        """End streams, connections, replays and mocks, make private what was shared from here, close the database."""
        self._stream.end()
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.gather(self._warming, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()
        await self._sharing.close()  # first: whoever is in a hurry to end us finds no link left
        await self._replays.close()
        await self._mocks.close()
        await self._follows.close()
        self._readers.close()

    async def _newest_run(self) -> int:
        with contextlib.suppress(StoreError):  # there is no database yet
            found = await self._readers.ask(lambda reader: reader.run_page(limit=1))
            return (found[0].id or 0) if found else 0
        return 0

    # --- the door ---

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        assert self._door is not None
        asked = _asked(request, self._door)
        refused = self._door.foreign(asked)
        if refused is not None:
            return self._say(request, refused)
        resource = request.match_info.route.resource
        known = resource is not None and (request.method, self._path(resource.canonical)) in self._open
        if not known and not self._door.knows(asked):
            return self._pages.door(request, api=self._is_for_programs(request))
        try:
            found: web.StreamResponse = await handler(request)
        except ReadOnly as exc:
            return problem(403, exc.message, exc.hint)
        except ScimproxyError as exc:
            return of_error(exc) if self._is_for_programs(request) else self._pages.error(exc)
        except web.HTTPException as exc:
            return self._say(request, Refused(exc.status, exc.reason, "look at the address, or go to the first page"))
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:  # noqa: BLE001 - our own fault: logged with its traceback
            _log.exception("the inspector could not answer %s", request.match_info.route.resource)
            return self._say(request, Refused(500, "This is a fault of scimproxy.", "the terminal shows the details"))
        return found

    def _say(self, request: web.Request, refused: Refused) -> web.StreamResponse:
        if self._is_for_programs(request):
            return problem(refused.status, refused.message, refused.hint)
        return self._pages.say(refused)

    def _is_for_programs(self, request: web.Request) -> bool:
        return self._path(request.path).startswith("/api/")

    async def _open_session(self, request: web.Request) -> web.StreamResponse:
        """Exchange the token for the cookie."""
        assert self._door is not None
        now = asyncio.get_running_loop().time()
        if now < self._locked_until:
            return problem(429, "Too many wrong tokens.", f"wait {_LOCKED_S:g} seconds")
        given = await body(request, token=str)
        if not self._door.takes(given.get("token") or ""):
            self._wrong += 1
            if self._wrong >= _WRONG_TOKENS:
                self._wrong, self._locked_until = 0, now + _LOCKED_S
            return problem(401, "This is not the token.", "open the URL that scimproxy printed when it started")
        response = answer({"home": self._door.folder})
        response.set_cookie(
            self._door.cookie_name,
            self._door.cookie,
            path=f"{self._door.folder}/",
            httponly=True,
            samesite="Strict",
            max_age=7 * 86_400,
        )
        return response

    async def _close_session(self, _request: web.Request) -> web.StreamResponse:
        """Forget the cookie."""
        assert self._door is not None
        response = web.Response(status=204)
        response.del_cookie(self._door.cookie_name, path=f"{self._door.folder}/", httponly=True, samesite="Strict")
        return response


async def _harmless(_request: web.Request, response: web.StreamResponse) -> None:
    """Give every answer, streams too, the headers that keep a page harmless."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)


def _asked(request: web.Request, door: Door) -> Asked:
    headers = request.headers
    hosts = headers.getall("Host", [])
    cookie = None
    with contextlib.suppress(ValueError):
        cookie = request.cookies.get(door.cookie_name)
    return Asked(
        method=request.method,
        host=hosts[0] if len(hosts) == 1 else None,
        origin=headers.get("Origin"),
        fetch_site=headers.get("Sec-Fetch-Site"),
        fetch_mode=headers.get("Sec-Fetch-Mode"),
        fetch_dest=headers.get("Sec-Fetch-Dest"),
        authorization=headers.get("Authorization"),
        cookie=cookie,
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as exc:
        listener.close()
        raise EngineError(
            f"the inspector cannot listen on {host}:{port}: {exc.strerror or exc}",
            hint="choose another port with --ui-port, or leave it to scimproxy",
        ) from exc
    listener.settimeout(0)
    return listener
