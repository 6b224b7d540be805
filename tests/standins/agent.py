"""An ngrok agent for pyngrok's `ngrok_path`, without ngrok: same command line, log, local API, forwarding, errors.

It speaks the local API of version 3 (endpoints) and of version 2 (tunnels). What it opens is a listener on loopback,
plain HTTP. The conformance suite runs on it and on a real agent, so it cannot drift. Faults on demand by the
environment variable STANDIN_FAULT (see FAULTS) and, while it runs, by signals: USR1 drops the session and gets it
back, USR2 gets it back with another URL.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import os
import secrets
import signal
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import yaml

FAULTS = (
    "hang",  # prints nothing and stays
    "silent-exit",  # ends without a word
    "session-limit",  # ERR_NGROK_108
    "api-hang",  # the local API accepts and never answers
    "port-taken",  # the first start finds its local port in use
    "url-online",  # ERR_NGROK_334 for every endpoint
    "url-paid",  # a URL cannot be asked for on this plan
    "not-utf8",  # a line of its log is not UTF-8
    "deaf",  # ignores TERM
)
FAULT = os.environ.get("STANDIN_FAULT", "")
VERSION = os.environ.get("STANDIN_VERSION", "3.39.10")
TOKEN = "good-token-2abcDEF"
NEW = tuple(int(part) for part in VERSION.split(".")[:2]) >= (3, 30)

NO_TOKEN = (
    "authentication failed: Usage of ngrok requires a verified account and authtoken.\n\nSign up for an account: "
    "https://dashboard.ngrok.com/signup\r\n\r\nERR_NGROK_4018\r\n"
)
MALFORMED = (
    "authentication failed: The authtoken you specified does not look like a proper ngrok tunnel authtoken.\n"
    "Your authtoken: {token}\r\n\r\nERR_NGROK_105\r\n"
)
TOO_MANY = (
    "authentication failed: Your account is limited to 1 simultaneous ngrok agent sessions.\r\n\r\nERR_NGROK_108\r\n"
)


def log(level: str, message: str, **fields: object) -> None:
    now = dt.datetime.now().astimezone().strftime("%Y-%m-%dT%H:%M:%S%z")
    pairs = {"lvl": level, "msg": message, **fields}
    print(f"t={now} " + " ".join(f"{name}={quoted(str(value))}" for name, value in pairs.items()), flush=True)


def quoted(text: str) -> str:
    return json.dumps(text) if not text or any(letter in text for letter in ' "=\n\r\t') else text


def give_up(why: str) -> None:
    log("eror", "failed to auth", obj="tunnels.session", err=why)
    log("eror", "terminating with error", obj="app", err=why)
    log("crit", "command failed", err=why)
    print(f"ERROR:  {why}", file=sys.stderr, flush=True)
    sys.exit(1)


async def read_head(reader: asyncio.StreamReader) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head[:-4].split(b"\r\n")
    return first, [(n.strip(), v.strip()) for n, _, v in (line.partition(b":") for line in lines)]


def field(fields: list[tuple[bytes, bytes]], name: bytes) -> bytes:
    return next((value for known, value in fields if known.lower() == name), b"")


async def read_body(reader: asyncio.StreamReader, fields: list[tuple[bytes, bytes]]) -> bytes:
    if field(fields, b"transfer-encoding").lower() == b"chunked":
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readuntil(b"\r\n")
        return body
    return await reader.readexactly(int(field(fields, b"content-length") or 0))


class Endpoint:
    """A listener that leads to an upstream, with the fields that ngrok adds."""

    def __init__(self, name: str, upstream: str) -> None:
        self.name = name
        self.upstream = upstream
        self.server: asyncio.Server | None = None
        self.url = ""
        self.visitors: set[asyncio.StreamWriter] = set()

    async def open(self, port: int) -> None:
        self.server = await asyncio.start_server(self.visit, "127.0.0.1", port)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    def close(self) -> None:
        if self.server is not None:
            self.server.close()
        for visitor in list(self.visitors):
            visitor.transport.abort()

    async def visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visitors.add(writer)
        peer = writer.get_extra_info("peername")[0].encode()
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                first, fields = await read_head(reader)
                body = await read_body(reader, fields)
                writer.write(await self.forward(first, fields, body, peer))
                await writer.drain()
        self.visitors.discard(writer)
        writer.close()

    async def forward(self, first: bytes, fields: list[tuple[bytes, bytes]], body: bytes, peer: bytes) -> bytes:
        chain, host = field(fields, b"x-forwarded-for"), field(fields, b"host")
        dropped = {b"x-forwarded-for", b"x-forwarded-proto", b"transfer-encoding", b"content-length", b"connection"}
        kept = [(name, value) for name, value in fields if name.lower() not in dropped]
        kept += [(b"X-Forwarded-For", (chain + b", " if chain else b"") + peer), (b"X-Forwarded-Proto", b"http")]
        if not field(fields, b"x-forwarded-host"):
            kept.append((b"X-Forwarded-Host", host))
        if body or first.split()[0] in {b"POST", b"PUT", b"PATCH"}:
            kept.append((b"Content-Length", b"%d" % len(body)))
        kept.append((b"Connection", b"close"))
        to = urlsplit(self.upstream)
        try:
            reader, writer = await asyncio.open_connection(to.hostname, to.port)
        except OSError as exc:
            log("warn", "failed to open private leg", privaddr=to.netloc, err=exc)
            page = b"<html>ERR_NGROK_8012</html>"
            head = b"HTTP/1.1 502 Bad Gateway\r\nngrok-error-code: ERR_NGROK_8012\r\nContent-Type: text/html\r\n"
            return head + b"Content-Length: %d\r\n\r\n" % len(page) + page
        log("info", "join connections", obj="join", l=to.netloc, r=peer.decode())
        head = b"".join(name + b": " + value + b"\r\n" for name, value in kept)
        writer.write(first + b"\r\n" + head + b"\r\n" + body)
        status, answer = await read_head(reader)
        content = b""
        if b" 204 " not in status and not first.startswith(b"HEAD"):
            framed = field(answer, b"content-length") or field(answer, b"transfer-encoding")
            content = await read_body(reader, answer) if framed else await reader.read()
        writer.close()
        answer = [(name, value) for name, value in answer if name.lower() not in dropped]
        answer += [(b"ngrok-agent-ips", b"203.0.113.7"), (b"Content-Length", b"%d" % len(content))]
        return b"\r\n".join([status, *(n + b": " + v for n, v in answer)]) + b"\r\n\r\n" + content


class Agent:
    """The session, the endpoints and the local API."""

    def __init__(self) -> None:
        self.endpoints: dict[str, Endpoint] = {}
        self.kind = "endpoints" if NEW else "tunnels"

    async def run(self, web: str) -> None:
        host, _, port = web.rpartition(":")
        if FAULT == "port-taken" and not (mark := Path(os.environ["STANDIN_MARK"])).exists():
            mark.touch()
            why = f"listen tcp {web}: bind: address already in use"
            log("crit", "command failed", err=why)
            print(f"ERROR:  {why}", file=sys.stderr)
            sys.exit(1)
        await asyncio.start_server(self.api, host, int(port))
        log("info", "starting web service", obj="web", addr=web, allow_hosts="[]")
        if FAULT == "not-utf8":
            sys.stdout.buffer.write(b"lvl=info msg=\xff\xfe\n")
            sys.stdout.flush()
        self.online()
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, (lambda: None) if FAULT == "deaf" else ended.set)
        loop.add_signal_handler(signal.SIGUSR1, lambda: asyncio.ensure_future(self.drop(move=False)))
        loop.add_signal_handler(signal.SIGUSR2, lambda: asyncio.ensure_future(self.drop(move=True)))
        await ended.wait()
        log("info", "received stop request", obj="app", stopReq="{err:<nil> restart:false}")

    def online(self) -> None:
        log("info", "client session established", obj="tunnels.session")
        log("info", "tunnel session started", obj="tunnels.session")

    async def drop(self, *, move: bool) -> None:
        """Lose the session, and get it back."""
        log("eror", "session closed, starting reconnect loop", obj="tunnels.session", err="read EOF from remote peer")
        for endpoint in self.endpoints.values():
            endpoint.close()
        for endpoint in self.endpoints.values():
            await endpoint.open(0 if move else urlsplit(endpoint.url).port or 0)
        self.online()

    async def api(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                first, fields = await read_head(reader)
                body = await read_body(reader, fields)
                if FAULT == "api-hang":
                    await asyncio.Event().wait()
                method, target, _ = first.decode().split()
                log("info", "start", pg=target, id=secrets.token_hex(8))
                status, document = await self.route(method, target, body)
                text = b"" if document is None else json.dumps(document).encode()
                writer.write(b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\n" % status)
                writer.write(b"Content-Length: %d\r\n\r\n" % len(text) + text)
                await writer.drain()
        writer.close()

    async def route(self, method: str, target: str, body: bytes) -> tuple[int, Any]:
        kind, _, name = urlsplit(target).path.removeprefix("/api/").partition("/")
        if kind not in {"tunnels", *([self.kind] if NEW else [])}:
            return 404, {"status_code": 404, "msg": "Not Found", "details": {"path": target}}
        if method == "GET" and not name:
            return 200, {kind: [self.shown(one, kind) for one in self.endpoints.values()], "uri": f"/api/{kind}"}
        if method == "POST":
            return await self.create(json.loads(body), kind)
        endpoint = self.endpoints.pop(unquote(name), None)
        if method != "DELETE" or endpoint is None:
            return 404, {"status_code": 404, "msg": "Not Found", "details": {"path": target}}
        endpoint.close()
        log("info", "stopped tunnel", obj="tunnels", name=endpoint.name)
        return 204, None

    async def create(self, asked: dict[str, Any], kind: str) -> tuple[int, Any]:
        wanted = asked.get("url") or asked.get("hostname") or ""
        if FAULT == "url-online" or (FAULT == "url-paid" and wanted):
            code = "334" if FAULT == "url-online" else "320"
            why = f"failed to start tunnel: The endpoint '{wanted}' is not for you.\r\n\r\nERR_NGROK_{code}\r\n"
            return 502, {
                "status_code": 502,
                "error_code": 103,
                "msg": "failed to start tunnel",
                "details": {"err": why},
            }
        upstream = asked["upstream"]["url"] if kind == "endpoints" else asked["addr"]
        endpoint = Endpoint(asked["name"], upstream)
        place = urlsplit(wanted if "://" in wanted else f"http://{wanted}")
        try:
            await endpoint.open(place.port or 0)
        except OSError as exc:
            why = {"err": f"{exc}\r\n\r\nERR_NGROK_334\r\n"}
            return 502, {"status_code": 502, "error_code": 103, "msg": "failed to start tunnel", "details": why}
        self.endpoints[endpoint.name] = endpoint
        log("info", "started tunnel", obj="tunnels", name=endpoint.name, addr=upstream, url=endpoint.url)
        return 201, self.shown(endpoint, kind)

    def shown(self, endpoint: Endpoint, kind: str) -> dict[str, Any]:
        about: dict[str, Any] = {"name": endpoint.name, "ID": "x", "uri": f"/api/{kind}/{quote(endpoint.name)}"}
        if kind == "endpoints":
            return {**about, "url": endpoint.url, "upstream": {"url": endpoint.upstream}, "metrics": {}}
        return {
            **about,
            "public_url": endpoint.url,
            "proto": "http",
            "config": {"addr": endpoint.upstream},
            "metrics": {},
        }


def main(words: list[str]) -> None:
    if words[:1] in (["--version"], ["version"]):
        print(f"ngrok version {VERSION}")
        return
    if words[:4] != ["start", "--none", "--log", "stdout"] or words[4] != "--config" or len(words) != 6:
        print(f"ERROR:  not for the stand-in: {words}", file=sys.stderr)
        sys.exit(1)
    if FAULT == "hang":
        time.sleep(3600)
    if FAULT == "silent-exit":
        sys.exit(3)
    document = yaml.safe_load(Path(words[5]).read_text(encoding="utf-8"))
    settings = document["agent"] if document.get("version") == "3" else document
    log("info", "open config file", path=words[5], err="nil")
    token = os.environ.get("NGROK_AUTHTOKEN") or settings.get("authtoken")
    if not token:
        give_up(NO_TOKEN)
    if token != TOKEN:
        give_up(MALFORMED.format(token=token))
    if FAULT == "session-limit":
        give_up(TOO_MANY)
    asyncio.run(Agent().run(settings["web_addr"]))


main(sys.argv[1:])
