"""The whole recorder (engine, redaction, store, output) does not grow: under 10 MB between exchange 10,000 and 60,000."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from e2e.proxy import Proxy

UPSTREAM = r"""
import asyncio, sys
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/scim+json\r\nContent-Length: 20\r\n\r\n{"id":"1","a":"bcd"}'
class Server(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.data = transport, b""
    def data_received(self, data):
        self.data += data
        while b"\r\n\r\n" in self.data:
            self.data = self.data.partition(b"\r\n\r\n")[2]
            self.transport.write(ANSWER)
async def main():
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
asyncio.run(main())
"""
SCRIPT = """
local n = 0
request = function()
  n = n + 1
  return wrk.format("GET", "/scim/v2/Users/" .. n, {["Authorization"] = "Bearer token-" .. (n % 7)})
end
"""
GROWTH = 10 * 1024 * 1024


def resident(pid: int) -> int:
    """The resident bytes of a process and of those it started: the database has a writer of its own."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    own = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return own + sum(resident(int(child)) for child in children)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_recorder_does_not_grow(tmp_path: Path) -> None:
    if shutil.which("wrk") is None or not Path("/proc/self/status").exists():
        pytest.skip("needs wrk (./scripts/test installs it) and /proc")
    (tmp_path / "load.lua").write_text(SCRIPT)
    db = tmp_path / "r.db"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", UPSTREAM], **pipes) as server:
        port = int(server.stdout.readline())
        with Proxy(f"http://127.0.0.1:{port}/scim/v2", db) as proxy, closing(sqlite3.connect(db)) as connection:
            sizes = [measured_after(count, proxy, connection, tmp_path) for count in (10_000, 60_000)]
            assert proxy.stop() == 0
        server.stdin.close()
    assert sizes[1] - sizes[0] < GROWTH, f"resident memory went from {sizes[0]:,} to {sizes[1]:,} bytes"


def measured_after(count: int, proxy: Proxy, connection: sqlite3.Connection, folder: Path) -> int:
    """Let wrk ask, two seconds at a time, until so many exchanges are stored; return the recorder's resident size."""
    command = ["wrk", "-t1", "-c8", "-d2", "-s", str(folder / "load.lua"), f"http://127.0.0.1:{proxy.port}/"]
    for _ in range(100):
        (stored,) = connection.execute("SELECT coalesce(max(id), 0) FROM exchanges").fetchone()
        if stored >= count:
            return resident(proxy.process.pid)
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    raise AssertionError(f"only {stored} exchanges were stored")
