"""Real SCIM servers that are not ours, each in a process of its own; the fixtures in conftest start them."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

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
