"""ngrok's cloud on loopback, for a real agent: sessions, endpoints with a public listener each, faults on demand.

It is enough for agent 2.3.41: authentication, binding, traffic both ways, heartbeats, reconnecting. An endpoint
that is bound again by its id or by its name keeps its port, so its URL, also over a restart of the edge.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import ssl
import struct
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme
from standins.mux import Mux, Stream

AUTH, BIND, UNBIND, PROXY, RESTART, STOP, HEARTBEAT = 0, 1, 2, 3, 4, 5, 0xFFFFFFFF
TOKEN = "good-token-2abcDEF"

NO_TOKEN = (
    "Usage of ngrok requires a verified account and authtoken.\n\nSign up for an account: "
    "https://dashboard.ngrok.com/signup\r\n\r\nERR_NGROK_4018\r\n"
)
MALFORMED = (
    "The authtoken you specified does not look like a proper ngrok tunnel authtoken.\nYour authtoken: {token}"
    "\r\n\r\nERR_NGROK_105\r\n"
)
REVOKED = "The authtoken you specified is properly formed, but it is invalid.\nYour authtoken: {token}\r\n\r\nERR_NGROK_107\r\n"
TOO_MANY = "Your account is limited to 1 simultaneous ngrok agent sessions.\r\n\r\nERR_NGROK_108\r\n"
TAKEN = "The endpoint '{url}' is already online.\r\n\r\nERR_NGROK_334\r\n"


@dataclass
class Bound:
    """An endpoint that an agent has bound."""

    number: str
    proto: str
    url: str
    server: asyncio.Server
    visitors: set[asyncio.StreamWriter] = field(default_factory=set)

    async def close(self) -> None:
        await shut(self.server)
        for visitor in list(self.visitors):
            visitor.transport.abort()


async def shut(server: asyncio.Server) -> None:
    """Listen no more and cut every connection, those too whose TLS handshake goes on.

    A connection that was accepted a moment before has no transport yet, and asyncio leaves it open, with nobody at
    its end, where the server is closed first: so nothing more is accepted, and those get theirs.
    """
    loop = asyncio.get_running_loop()
    for sock in server.sockets:
        loop.remove_reader(sock.fileno())
    for _ in range(5):
        await asyncio.sleep(0)
    server.close()
    if sys.version_info >= (3, 13):
        server.abort_clients()


@dataclass(eq=False)
class Session:
    """A connected agent."""

    mux: Mux
    bound: dict[str, Bound] = field(default_factory=dict)
    authenticated: bool = False


class Edge:
    """The cloud. `token` is the good one; `refuse` an error for every authentication; `forget` gives new URLs."""

    def __init__(self, folder: Path, *, token: str = TOKEN, max_sessions: int = 10) -> None:
        self.token = token
        self.max_sessions = max_sessions
        self.refuse: str | None = None
        self.forget = False
        self.sessions: set[Session] = set()
        self.authentications = 0
        self.proxied = 0
        self.ca = folder / "edge-ca.pem"
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.ca))
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(self._tls)
        self._ports: dict[str, int] = {}
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen for agents; on the same port as before."""
        self._server = await asyncio.start_server(self._agent, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Be gone: nobody listens, sessions and public listeners are cut."""
        if self._server is not None:
            server, self._server = self._server, None
            await shut(server)
        self.drop()
        while self.sessions:  # noqa: ASYNC110 - each takes a turn of the loop to end
            await asyncio.sleep(0)

    def drop(self) -> None:
        """Cut every session, as a change of network does."""
        for session in self.sessions:
            session.mux.writer.transport.abort()

    async def tell(self, kind: int) -> None:
        """Ask every agent to stop or restart, as the dashboard does."""
        for session in list(self.sessions):
            stream = session.mux.open()
            await stream.write(struct.pack(">I", kind) + b"{}")

    def config(self, *, token: str | None = TOKEN) -> str:
        """Return the lines of a user's ngrok.yml that lead an agent here."""
        lines = [f"server_addr: 127.0.0.1:{self.port}", f"root_cas: {self.ca}"]
        return "\n".join([*lines, *([f"authtoken: {token}"] if token else [])]) + "\n"

    # --- agents

    async def _agent(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session: Session

        async def serve(stream: Stream) -> None:
            with contextlib.suppress(EOFError, OSError):
                await self._serve(session, stream)

        session = Session(Mux(reader, writer, serve))
        self.sessions.add(session)
        try:
            await session.mux.run()
        finally:
            self.sessions.discard(session)
            for bound in session.bound.values():
                await bound.close()
            writer.close()

    async def _serve(self, session: Session, stream: Stream) -> None:
        kind = struct.unpack(">I", await stream.exactly(4))[0]
        if kind == HEARTBEAT:
            while True:
                await stream.write(await stream.exactly(4))
        asked = await stream.document()
        if kind == AUTH:
            answer = self._authenticate(session, asked)
        elif kind == BIND:
            answer = await self._bind(session, asked)
        elif kind == UNBIND:
            if (bound := session.bound.pop(asked["Id"], None)) is not None:
                await bound.close()
            answer = {"Error": "", "Extra": {}}
        else:
            answer = {"Error": f"unsupported {kind}"}
        await stream.write(json.dumps(answer).encode(), last=True)

    def _authenticate(self, session: Session, asked: dict[str, Any]) -> dict[str, Any]:
        self.authentications += 1
        extra = asked["Extra"]
        token = extra.get("AuthToken") or extra.get("Authtoken")
        problem = self.refuse
        if problem is None and not token:
            problem = NO_TOKEN
        elif problem is None and token != self.token:
            problem = MALFORMED
        elif problem is None and sum(one.authenticated for one in self.sessions) >= self.max_sessions:
            problem = TOO_MANY
        if problem is not None:
            return {"Error": problem.format(token=token), "Version": "", "ClientId": "", "Extra": {}}
        session.authenticated = True
        return {
            "Error": "",
            "Version": asked["Version"][0],
            "ClientId": asked.get("ClientId") or secrets.token_hex(16),
            "Extra": {
                "Version": "prod",
                "Region": "us",
                "Cookie": "c",
                "AccountName": "Stand-in",
                "SessionDuration": 0,
                "PlanName": "Free",
                "Banner": "",
            },
        }

    async def _bind(self, session: Session, asked: dict[str, Any]) -> dict[str, Any]:
        options = asked.get("Opts") or {}
        proto = asked["Proto"]
        number = asked.get("Id") or secrets.token_hex(16)
        wanted = options.get("Hostname") or options.get("Domain") or ""
        port = 0
        if not self.forget:
            port = (
                int(wanted.rpartition(":")[2]) if ":" in wanted and proto == "https" else self._ports.get(number, 0)
            )
        server: asyncio.Server | None = None
        visitors: set[asyncio.StreamWriter] = set()

        async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            visitors.add(writer)
            try:
                await self._visit(session, number, proto, reader, writer)
            finally:
                visitors.discard(writer)
                writer.close()

        try:
            server = await asyncio.start_server(visit, "127.0.0.1", port, ssl=self._tls if proto == "https" else None)
        except OSError:
            return {"Error": TAKEN.format(url=f"{proto}://{wanted}"), "Id": "", "URL": "", "Extra": {}}
        port = server.sockets[0].getsockname()[1]
        self._ports[number] = port
        url = f"{proto}://localhost:{port}"
        session.bound[number] = Bound(number, proto, url, server, visitors)
        return {"Error": "", "Id": number, "URL": url, "Proto": proto, "Opts": options, "Extra": {"Token": "t"}}

    # --- the public side

    async def _visit(
        self,
        session: Session,
        number: str,
        proto: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        host, port = writer.get_extra_info("peername")[:2]
        stream = session.mux.open()
        head = json.dumps(
            {
                "Id": number,
                "ClientAddr": f"{host}:{port}",
                "Proto": proto,
                "EdgeType": "3",
                "PassthroughTLS": False,
            }
        ).encode()
        back = asyncio.ensure_future(_back(stream, writer))
        try:
            await stream.write(struct.pack(">I", PROXY) + struct.pack("<q", len(head)) + head)
            while await _forward(reader, stream, host, proto):
                self.proxied += 1
            await stream.write(b"", last=True)
            await asyncio.wait({back}, timeout=30)
        except (OSError, EOFError, asyncio.IncompleteReadError):
            pass
        finally:
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)
            session.mux.drop(stream)


async def _back(stream: Stream, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await stream.read():
            writer.write(data)
            await writer.drain()
    writer.close()


async def _forward(reader: asyncio.StreamReader, stream: Stream, host: str, proto: str) -> bool:
    """Pass one request on, with the fields that ngrok adds; False where there is none."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return False
    first, *rest = head[:-4].split(b"\r\n")
    fields = [(name.strip(), value.strip()) for name, _, value in (line.partition(b":") for line in rest)]
    known = {name.lower(): value for name, value in fields}
    chain = known.get(b"x-forwarded-for")
    added = {
        b"X-Forwarded-For": (chain + b", " if chain else b"") + host.encode(),
        b"X-Forwarded-Host": known.get(b"x-forwarded-host", known.get(b"host", b"")),
        b"X-Forwarded-Proto": proto.encode(),
    }
    replaced = {name.lower() for name in added}
    lines = [first, *(n + b": " + v for n, v in fields if n.lower() not in replaced)]
    lines += [name + b": " + value for name, value in added.items()]
    await stream.write(b"\r\n".join(lines) + b"\r\n\r\n")
    if known.get(b"transfer-encoding", b"").lower() == b"chunked":
        while True:
            size = await reader.readuntil(b"\r\n")
            await stream.write(size + await reader.readexactly(int(size.split(b";")[0], 16) + 2))
            if int(size.split(b";")[0], 16) == 0:
                return True
    left = int(known.get(b"content-length", b"0"))
    while left:
        piece = await reader.read(min(left, 65536))
        if not piece:
            raise EOFError
        left -= len(piece)
        await stream.write(piece)
    return True


class EdgeThread:
    """An edge in a thread of its own, for tests without an event loop; each method waits until it is done."""

    def __init__(self, edge: Edge, loop: asyncio.AbstractEventLoop) -> None:
        self.edge = edge
        self._loop = loop

    def do(self, work: Any) -> Any:
        """Run a coroutine function or a function of the edge, inside its loop."""

        async def run() -> Any:
            found = work()
            return await found if asyncio.iscoroutine(found) else found

        future: Future[Any] = asyncio.run_coroutine_threadsafe(run(), self._loop)
        return future.result(30)


@contextlib.contextmanager
def edge_in_thread(folder: Path) -> Iterator[EdgeThread]:
    """Run an edge until the block ends."""
    loop = asyncio.new_event_loop()
    edge = Edge(folder)
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    handle = EdgeThread(edge, loop)
    handle.do(edge.start)
    try:
        yield handle
    finally:
        handle.do(edge.stop)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
