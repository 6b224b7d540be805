"""A server of localtunnel, enough for its real client: it tells a URL and a port, and joins visitors with the client.

The protocol (github.com/localtunnel/server): GET /?new answers id, port, max_conn_count and url; the client keeps that
many connections open to the port, and each carries one visitor.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def localtunnel_server() -> AsyncIterator[str]:
    """Give the URL of a server."""
    idle: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def data(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        idle.put_nowait((reader, writer))

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs_in, theirs_out = await idle.get()
        await asyncio.gather(_pump(reader, theirs_out), _pump(theirs_in, writer))

    async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        while not idle.empty():  # those of a client before this one
            idle.get_nowait()[1].close()
        ports = [server.sockets[0].getsockname()[1] for server in (data_server, public)]
        about = {"id": "abc", "port": ports[0], "max_conn_count": 4, "url": f"http://127.0.0.1:{ports[1]}"}
        body = json.dumps(about).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n")
        writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    data_server = await asyncio.start_server(data, "127.0.0.1", 0)
    public = await asyncio.start_server(visit, "127.0.0.1", 0)
    control = await asyncio.start_server(tell, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{control.sockets[0].getsockname()[1]}"
    finally:
        for server in (data_server, public, control):
            server.close()
        while not idle.empty():
            idle.get_nowait()[1].close()
