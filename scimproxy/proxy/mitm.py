"""The engine built on mitmproxy: its connection handling and TLS, our ends of HTTP (`mitm_layers`, `mitm_stream`).

One rule: mitmproxy stays in here. What is used is its sans-io core and `LiveConnectionHandler`, without a Master: so
there is no global state, nothing is installed on the event loop, mitmproxy writes no certificate authority anywhere,
and several engines live side by side. Import this module only where the engine is chosen: mitmproxy takes a second.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import cast

from mitmproxy.options import Options
from OpenSSL import SSL

from scimproxy.errors import EngineError, ScimproxyError, StoreError
from scimproxy.exchange import Phase, State
from scimproxy.proxy import answers
from scimproxy.proxy.engine import Address, EngineOptions, Recorder, cannot_listen
from scimproxy.proxy.guard import Guard
from scimproxy.proxy.mitm_client_tls import ClientAuthority
from scimproxy.proxy.mitm_details import tls_context
from scimproxy.proxy.mitm_events import written_headers
from scimproxy.proxy.mitm_handler import Handler
from scimproxy.proxy.passage import Passage

__all__ = ["MitmEngine"]

log = logging.getLogger(__name__)


class MitmEngine:
    """The `Engine` on mitmproxy's core: a reverse proxy, or with `EngineOptions.forward` a forward proxy.

    HTTP/1.1 or, inside TLS, HTTP/2 towards the client; HTTP/1.1 or HTTP/2 upstream; WebSocket passes.
    """

    name = "mitmproxy"

    def __init__(self, options: EngineOptions, recorder: Recorder) -> None:
        self.options = options
        self.recorder = recorder
        self.guard = None if options.guard is None else Guard(options, options.guard)
        self.stopping = False
        self.mitm_options = Options()
        self.tls: SSL.Context | None = None
        self.own: tuple[str, int] | None = None
        """Where we listen."""
        self.authority: ClientAuthority | None = None
        self.open_ended: set[str] = set()
        """Passages that end when their peers want (WebSocket): nobody waits for them to."""
        self.handlers: dict[Handler, asyncio.Task[None]] = {}
        self.flying: dict[str, Passage] = {}
        self.recording: set[str] = set()
        self._landed = asyncio.Event()
        self._hurried = False
        self._server: asyncio.Server | None = None
        self._stop: asyncio.Task[None] | None = None
        self._failure: asyncio.Future[ScimproxyError] | None = None

    async def start(self) -> Address:
        """Listen, and return where.

        Raises:
            EngineError: the port is taken or forbidden, --upstream-ca or the authority's key cannot be read.
        """
        if self.options.target.scheme == "https" or self.options.forward is not None:
            self.tls = tls_context(self.options)
        if self.options.forward is not None:
            self.authority = ClientAuthority(self.options.forward.authority)
        self._failure = asyncio.get_running_loop().create_future()
        host, port = self.options.listen_host, self.options.listen_port
        try:
            self._server = await asyncio.start_server(self._accept, host, port)
        except OSError as exc:
            raise cannot_listen(exc, Address(host, port)) from exc
        bound = self._server.sockets[0].getsockname()
        self.own = (bound[0], bound[1])
        return Address(bound[0], bound[1])

    async def failed(self) -> ScimproxyError:
        """Wait until the engine cannot go on; a listening asyncio server does not fail, so this waits for ever."""
        if self._failure is None:
            raise EngineError("the engine has not been started", hint="call start() first")
        return await asyncio.shield(self._failure)

    def publish(self, origin: str | None, *, vouches_for_client: bool) -> None:
        """Take a new public origin; open connections learn it for their next exchange."""
        self.options = replace(self.options, public_origin=origin, vouches_for_client=vouches_for_client)
        for handler in self.handlers:
            handler.options = self.options
        if self.guard is not None:
            self.guard.public_at(origin)

    async def stop(self, *, at_once: bool = False) -> None:
        """Accept nothing more, let what is in flight end (not with `at_once`), record all, close. Safe twice."""
        if at_once:
            self._hurried = True
            self._landed.set()
        if self._stop is None:
            self._stop = asyncio.get_running_loop().create_task(self._shut_down())
        await asyncio.shield(self._stop)

    async def _shut_down(self) -> None:
        self.stopping = True
        if self._server is not None:
            self._server.close()
        for handler in list(self.handlers):
            if not handler.busy:
                handler.hang_up("scimproxy was stopped")
        deadline = time.monotonic() + self.options.drain_s
        while (
            self.flying.keys() - self.open_ended and not self._hurried and (left := deadline - time.monotonic()) > 0
        ):
            self._landed.clear()
            try:
                await asyncio.wait_for(self._landed.wait(), left)
            except TimeoutError:
                break
        for passage in list(self.flying.values()):
            phase: Phase = "request" if passage.sent_m is None else "wait"
            if passage.uid in self.open_ended and passage.given is not None:
                passage.given = replace(passage.given, content=passage.response_tap.content())
                phase = "receive"
            passage.failure = answers.stopping(phase)
            passage.ended = "closed by scimproxy, which was stopped"
            await self.record(passage, state="aborted")
        for handler in list(self.handlers):
            handler.hang_up("scimproxy was stopped")
        if self.handlers:
            await asyncio.wait(list(self.handlers.values()), timeout=5)

    # -- passages -------------------------------------------------------------------------------------------------

    def land(self, passage: Passage) -> bool:
        """Take a passage out of flight; False where it has landed already."""
        there = self.flying.pop(passage.uid, None) is not None
        self.open_ended.discard(passage.uid)
        self._landed.set()
        return there

    async def record(self, passage: Passage, *, state: State = "complete") -> ScimproxyError | None:
        """Record how a passage ended, once; return why its answer must be withheld, None where it may go."""
        if passage.uid not in self.flying or passage.uid in self.recording:
            return EngineError("the exchange has ended already")
        self.recording.add(passage.uid)
        exchange = passage.exchange(at=time.time(), now_m=time.monotonic(), state=state)
        try:
            await self.recorder.record(exchange)
        except StoreError as exc:
            return exc
        except Exception:
            log.exception("recording an exchange failed; it passes unrecorded")
            self.lost("recording it raised an error that is a fault of scimproxy; see the log")
        finally:
            self.recording.discard(passage.uid)
            self.land(passage)
        return None

    async def opened(self, passage: Passage) -> ScimproxyError | None:
        """Record that a passage goes on behind its answer's head; return why that must be withheld."""
        pending = passage.exchange(at=time.time(), now_m=time.monotonic(), state="pending")
        try:
            await self.recorder.opened(replace(pending, response=passage.given, origin=passage.origin))
        except StoreError as exc:
            return exc
        except Exception:
            log.exception("recording an exchange failed; it passes unrecorded")
        self.open_ended.add(passage.uid)
        self._landed.set()
        return None

    def lost(self, reason: str) -> None:
        """Count an exchange that was not recorded; never raises."""
        try:
            self.recorder.lost(reason)
        except Exception:
            log.exception("counting a lost exchange failed")

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.stopping or writer.get_extra_info("peername") is None:
            writer.close()
            return
        if len(self.handlers) >= self.options.max_connections:
            writer.write(_TOO_MANY)
            writer.close()
            return
        handler = Handler(self, reader, writer)
        task = asyncio.current_task()
        assert task is not None
        self.handlers[handler] = cast("asyncio.Task[None]", task)
        try:
            await handler.handle_client()
        except Exception:
            log.exception("a client connection failed")
        finally:
            await handler.end()
            del self.handlers[handler]
            writer.close()


_BUSY = answers.scim_error(503, "too many connections are open; try again later")
_TOO_MANY = (
    written_headers("HTTP/1.1 503 Service Unavailable", _BUSY.headers.with_added("Connection", "close"))
    + _BUSY.content.data
)
