"""Real SCIM servers that are not ours, each in a process of its own; the fixtures in conftest start them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TOKEN = "peer-token"


@dataclass(frozen=True)
class Peer:
    """A real SCIM server in a process of its own."""

    name: str
    port: int
    base_path: str
    token: str = TOKEN

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.base_path}"


def end(process: subprocess.Popen[str]) -> None:
    """Close its standard input, which ends it; kill it if that does not."""
    for stream in (process.stdin, process.stdout):
        if stream:
            stream.close()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)


SCIM2_SERVER = """
import sys, threading
from scim2_server.testserver import cli
make = cli.make_server
def told(*args, **kwargs):
    server = make(*args, **kwargs)
    sys.stdout.write(f"port {server.server_port}\\n")
    sys.stdout.flush()
    threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
    return server
cli.make_server = told
cli.main()
"""
"""Its command, told to say its port (it prints 0 for port 0) and to end with its standard input."""


def scimmy(folder: Path) -> Iterator[Peer]:
    """scimmy-routers, from a folder where its packages are installed."""
    process = subprocess.Popen(
        ["node", "server.mjs"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "SCIM_TOKEN": TOKEN},
    )
    try:
        assert process.stdout
        yield Peer(folder.name, json.loads(process.stdout.readline())["port"], "/scim/v2")
    finally:
        end(process)


def scim2_server() -> Iterator[Peer]:
    """scim2-server, which speaks HTTP/1.0."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCIM2_SERVER, "--port", "0", "--hostname", "127.0.0.1", "--bearer-token", TOKEN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout
        line = next(line for line in process.stdout if line.startswith("port "))
        yield Peer("scim2-server", int(line.split()[1]), "/v2")
    finally:
        end(process)
