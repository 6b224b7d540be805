"""An engine on mitmproxy as a forward proxy, or with HTTP/2 upstream, between real sockets on loopback."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trustme
from conformance.rig import PATIENCE_S, Recording, Script, Upstream, Wire, answer_all
from h2_peers import Behaviour, Client, Server, respond

from scimproxy.proxy.engine import ANYWHERE, Address, EngineOptions, Forward, Target
from scimproxy.proxy.mitm import MitmEngine


class Stage:
    """Makes upstreams, one engine and clients, and takes them down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = trustme.CA()
        self.upstream_ca = folder / "upstream-ca.pem"
        self.ca.cert_pem.write_to_path(str(self.upstream_ca))
        self.recorder = Recording()
        self.engine: MitmEngine
        self.address: Address
        self._stops: list[Any] = []
        self._open: list[Any] = []
        self._pumps: set[asyncio.Task[None]] = set()

    def tls(self, name: str = "localhost") -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(name).configure_cert(context)
        return context

    async def h2_server(self, behave: Behaviour = respond) -> Server:
        server = Server(behave)
        await server.start(self.tls())
        self._stops.append(server.stop)
        return server

    async def h1_server(self, script: Script = answer_all, *, secure: bool = True) -> Upstream:
        server = Upstream(script)
        await server.start(tls=self.tls() if secure else None)
        self._stops.append(server.stop)
        return server

    async def forward(self, *only: str, **options: Any) -> None:
        """Start the engine as a forward proxy."""
        options = {"upstream_ca": self.upstream_ca, **options}
        await self._start(EngineOptions(target=ANYWHERE, forward=Forward(self.folder / "ca", only), **options))

    async def reverse(self, port: int, **options: Any) -> None:
        """Start the engine before an https server, offering HTTP/2."""
        target = Target("https", "localhost", port)
        await self._start(EngineOptions(target=target, upstream_ca=self.upstream_ca, http2=True, **options))

    async def _start(self, options: EngineOptions) -> None:
        self.engine = MitmEngine(options, self.recorder)
        self.address = await self.engine.start()

    async def wire(self) -> Wire:
        """Return a connection to the engine."""
        wire = Wire(*await asyncio.open_connection(self.address.host, self.address.port))
        self._open.append(wire)
        return wire

    async def connect(self, port: int, host: str = "localhost") -> Wire:
        """Return a connection behind a CONNECT."""
        wire = await self.wire()
        await wire.send(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        assert (await wire.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        return wire

    def trusting(self, *alpn: str, ca: Path | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(ca or self.folder / "ca" / "scimproxy-ca.pem"))
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context

    async def secured(self, port: int, *alpn: str, host: str = "localhost", ca: Path | None = None) -> Wire:
        """Return a connection inside TLS behind a CONNECT."""
        wire = await self.connect(port, host)
        async with asyncio.timeout(PATIENCE_S):
            await wire.writer.start_tls(self.trusting(*alpn, ca=ca), server_hostname=host)
        return wire

    async def h2_client(self, port: int, *, taking: bool = True) -> Client:
        """Return a client with HTTP/2 inside TLS behind a CONNECT."""
        wire = await self.secured(port, "h2")
        assert wire.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        client = Client(wire.reader, wire.writer, client=True, taking=taking)
        task = asyncio.get_running_loop().create_task(client.pump())
        self._pumps.add(task)
        return client

    async def close(self) -> None:
        for wire in self._open:
            wire.writer.transport.abort()
        if self.recorder.gate is not None:
            self.recorder.gate.set()
        await self.engine.stop(at_once=True)
        for stop in self._stops:
            await stop()
        for task in self._pumps:
            task.cancel()
        if self._pumps:
            await asyncio.wait(self._pumps)


@asynccontextmanager
async def stage_of(folder: Path) -> AsyncIterator[Stage]:
    stage = Stage(folder)
    try:
        yield stage
    finally:
        await stage.close()
