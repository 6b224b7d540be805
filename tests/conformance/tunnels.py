"""The rigs of the tunnel contract: each kind of provider with its far side on loopback, and a server behind it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from listeners import free_port
from standins.edge import TOKEN, Edge
from standins.localtunnel import localtunnel_server

from scimproxy.tunnel.command import Command
from scimproxy.tunnel.contract import Local, Provider
from scimproxy.tunnel.ngrok import Ngrok, NgrokSettings
from scimproxy.tunnel.recipes import command_recipe
from scimproxy.tunnel.ssh import ssh_recipe

ROOT = Path(__file__).resolve().parent.parent.parent
STANDINS = ROOT / "tests" / "standins"
REAL_AGENT = ROOT / ".peers" / "ngrok" / "node_modules" / "@expo" / "ngrok-bin-linux-x64" / "ngrok"
LOCALTUNNEL = ROOT / ".peers" / "localtunnel" / "node_modules" / ".bin" / "lt"
PATIENCE_S = 30.0


@dataclass
class TunnelRig:
    """A kind of provider. `make` gives a provider; `again` says that it gives the same URL when asked for it."""

    name: str
    make: Callable[[], Provider]
    again: bool = False
    ca: Path | None = None
    secrets: tuple[str, ...] = ()
    drop: Callable[[], Any] | None = None
    secret_file: str | None = None


def standin_agent(folder: Path) -> Path:
    """Write the stand-in as an executable file, as pyngrok wants it; exec, so that its pid is the agent's."""
    path = folder / "bin" / "ngrok"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{STANDINS / "agent.py"}" "$@"\n')
    path.chmod(0o700)
    return path


def real_agent() -> Path:
    """The real agent, or a skip that says why there is none."""
    if not REAL_AGENT.is_file():
        pytest.skip("the real ngrok agent is not here: ./scripts/test fetches it with npm (x64 Linux only)")
    try:
        done = subprocess.run([str(REAL_AGENT), "--version"], capture_output=True, timeout=30, check=False)
    except OSError as exc:
        pytest.skip(f"the real ngrok agent does not run here: {exc}")
    if b"2.3.41" not in done.stdout:
        pytest.skip("the real ngrok agent does not run here")
    return REAL_AGENT


def program_of(provider: Provider) -> int:
    """The process id of an open provider's program."""
    if isinstance(provider, Ngrok):
        assert provider._agent is not None
        assert provider._agent.process is not None
        return provider._agent.process.pid
    assert isinstance(provider, Command)
    assert provider._program is not None
    return provider._program.pid


def children(mark: str) -> dict[int, str]:
    """Processes that inherited an environment with this text, by /proc: they were started by the test."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if mark.encode() in (entry / "environ").read_bytes():
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


@contextlib.asynccontextmanager
async def rig_of(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TunnelRig]:
    """Make the rig of a kind."""
    if not Path("/proc/self/environ").exists():
        pytest.skip("what runs is looked up in /proc, which is Linux's")
    async with contextlib.AsyncExitStack() as stack:
        made: Callable[..., Any] = {
            "standin": _standin,
            "standin-v2": _standin,
            "real-agent": _real,
            "script": _script,
            "localtunnel": _localtunnel,
            "ssh": _ssh,
        }[kind]
        if kind == "standin-v2":
            monkeypatch.setenv("STANDIN_VERSION", "3.20.0")
        yield await made(kind, folder, stack)


async def _standin(kind: str, folder: Path, stack: contextlib.AsyncExitStack) -> TunnelRig:
    agent = standin_agent(folder)
    config = folder / "user.yml"
    config.write_text(f"authtoken: {TOKEN}\n")
    providers: list[Ngrok] = []

    def make() -> Ngrok:
        providers.append(Ngrok(NgrokSettings(path=agent, config=config)))
        return providers[-1]

    def drop() -> None:
        os.kill(program_of(providers[-1]), signal.SIGUSR1)

    return TunnelRig(kind, make, again=True, secrets=(TOKEN,), secret_file="ngrok.yml", drop=drop)


async def _real(kind: str, folder: Path, stack: contextlib.AsyncExitStack) -> TunnelRig:
    agent = real_agent()
    edge = Edge(folder)
    await edge.start()
    stack.push_async_callback(edge.stop)
    config = folder / "user.yml"
    config.write_text(edge.config())
    return TunnelRig(
        kind,
        lambda: Ngrok(NgrokSettings(path=agent, config=config)),
        again=True,
        ca=edge.ca,
        secrets=(TOKEN,),
        secret_file="ngrok.yml",
        drop=edge.drop,
    )


async def _script(kind: str, folder: Path, stack: contextlib.AsyncExitStack) -> TunnelRig:
    recipe = command_recipe(
        f"{sys.executable} {STANDINS / 'forward.py'} {{port}} --child", r"your tunnel: (http://127\.0\.0\.1:\d+)"
    )
    return TunnelRig(kind, lambda: Command(recipe))


async def _localtunnel(kind: str, folder: Path, stack: contextlib.AsyncExitStack) -> TunnelRig:
    if not LOCALTUNNEL.exists() or not shutil.which("node"):
        pytest.skip("the client of localtunnel is not here: ./scripts/test installs it with npm")
    server = await stack.enter_async_context(localtunnel_server())
    command = f"node {LOCALTUNNEL.resolve()} --port {{port}} --host {server}"
    return TunnelRig(kind, lambda: Command(command_recipe(command, r"your url is: (\S+)")))


async def _ssh(kind: str, folder: Path, stack: contextlib.AsyncExitStack) -> TunnelRig:
    remote, make = ssh_server(folder, stack)
    url = f"http://127.0.0.1:{remote}"
    return TunnelRig(kind, lambda: Command(make(), "own", public_url=url), again=True)


def ssh_server(folder: Path, stack: contextlib.AsyncExitStack) -> tuple[int, Callable[[], Any]]:
    """Start a real sshd that allows nothing but a forwarding; its remote port, and a maker of recipes for it."""
    sshd = shutil.which("sshd") or "/usr/sbin/sshd"
    if not Path(sshd).exists() or not shutil.which("ssh"):
        pytest.skip("sshd is not here: ./scripts/test installs it (openssh-server)")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    port, remote = free_port(), free_port()
    key = (folder / "user.pub").read_text()
    (folder / "authorized").write_text(f'restrict,port-forwarding,permitlisten="127.0.0.1:{remote}" {key}')
    (folder / "sshd.conf").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host'}\nAuthorizedKeysFile {folder / 'authorized'}\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nAllowTcpForwarding remote\n"
        f"GatewayPorts no\nPidFile {folder / 'sshd.pid'}\nLogLevel ERROR\n"
    )
    server = subprocess.Popen(
        [sshd, "-D", "-e", "-f", str(folder / "sshd.conf")], stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"]},
    )  # fmt: skip

    def end() -> None:
        server.terminate()
        server.wait(10)

    stack.callback(end)
    host_key = " ".join((folder / "host.pub").read_text().split()[:2])
    (folder / "known").write_text(f"[127.0.0.1]:{port} {host_key}\n")
    (folder / "ssh.conf").write_text(f"UserKnownHostsFile {folder / 'known'}\nStrictHostKeyChecking yes\n")
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            break
        assert server.poll() is None, "sshd does not start"
    return remote, lambda: ssh_recipe(
        "127.0.0.1",
        public_url=f"http://127.0.0.1:{remote}",
        remote=f"127.0.0.1:{remote}",
        identity=folder / "user",
        config=folder / "ssh.conf",
        port=port,
    )


@contextlib.asynccontextmanager
async def echo_server() -> AsyncIterator[Local]:
    """A server that answers with what it was sent: first line, fields, size of the body, and the body again."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                first, *lines = head[:-4].decode("latin-1").split("\r\n")
                fields = [line.split(": ", 1) for line in lines]
                length = next((int(value) for name, value in fields if name.lower() == "content-length"), 0)
                body = await reader.readexactly(length)
                about = json.dumps({"first": first, "fields": fields}).encode()
                answer = b"%d\n" % len(about) + about + body
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Local("127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        server.close()


async def ask(
    rig: TunnelRig, url: str, path: str = "/x", body: bytes = b"", **fields: str
) -> tuple[dict[str, Any], bytes]:
    """Send a request to the public side; what the server saw, and the body that came back."""
    scheme, _, authority = url.partition("://")
    host, _, port = authority.partition(":")
    context = ssl.create_default_context(cafile=str(rig.ca)) if scheme == "https" else None
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection(host, int(port), ssl=context, server_hostname=context and host)
        lines = [f"POST {path} HTTP/1.1", f"Host: {authority}", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        answer = await reader.readexactly(length)
        writer.close()
    size, _, rest = answer.partition(b"\n")
    seen = json.loads(rest[: int(size)])
    seen["fields"] = {name.lower(): value for name, value in seen["fields"]}
    return seen, rest[int(size) :]
