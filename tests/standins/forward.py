"""A tunnel program for `--tunnel command:`: forwards a port of loopback to another, and prints where it listens.

python forward.py TO_PORT [LISTEN_PORT] [--child] [--silent] [--die]
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def main(words: list[str]) -> None:
    to, *rest = [int(word) for word in words if not word.startswith("--")]
    if "--die" in words:
        print("cannot reach the relay: no route to host", flush=True)
        sys.exit(4)
    if "--child" in words:  # a program that starts another and forgets it
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_in, there_out = await asyncio.open_connection("127.0.0.1", to)
        await asyncio.gather(_pump(reader, there_out), _pump(there_in, writer))

    server = await asyncio.start_server(visit, "127.0.0.1", rest[0] if rest else 0)
    if "--silent" not in words:
        print(f"your tunnel: http://127.0.0.1:{server.sockets[0].getsockname()[1]}/ (ready)", flush=True)
    await asyncio.Event().wait()


asyncio.run(main(sys.argv[1:]))
