"""The embedded SCIM server behind `scimproxy demo`: HTTP/1.1 around `scim.directory`, on loopback only.

One rule: no SCIM is decided here. This face turns requests into calls, checks the token, writes replies, and
lets the chosen `DEFECTS` bend what passes through. SCIM 1.1 is served beside 2.0, with the same resources.
Flow: HTTP -> Call -> (version1) -> defects -> token -> Directory -> Answer -> defects -> Reply -> defects -> HTTP.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import re
import secrets
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from scimproxy.bending import Reply, Scene
from scimproxy.defects import DEFECTS, Defect
from scimproxy.errors import ScimproxyError, UsageError
from scimproxy.exchange import Headers
from scimproxy.scim import version1
from scimproxy.scim.dialect import DEFAULT_DIALECT, ERROR, Answer, Call, Dialect
from scimproxy.scim.directory import Directory

__all__ = ["DEFECTS", "Defect", "Demo", "create_app", "serve"]

BASE_PATH = "/scim/v2"
BASE_PATH_1 = "/scim/v1"
"""Where SCIM 1.1 is spoken."""
_HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?", re.ASCII)
_USER = {
    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
    "userName": "bjensen@example.com",
    "name": {"formatted": "Barbara Jensen", "familyName": "Jensen", "givenName": "Barbara"},
    "displayName": "Barbara Jensen",
    "emails": [{"value": "bjensen@example.com", "type": "work", "primary": True}],
    "active": True,
}
_GROUP = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Tour Guides"}


@dataclass(slots=True)
class _Face:
    """What a request handler needs: the server's state, and how it misbehaves."""

    scene: Scene
    defects: tuple[Defect, ...]
    token: str
    user_id: str
    trust_forwarded: bool


_FACE = web.AppKey("scimproxy_demo_face", _Face)


def create_app(
    *,
    token: str,
    defects: Iterable[str] = (),
    dialect: Dialect = DEFAULT_DIALECT,
    seeded: bool = True,
    trust_forwarded: bool = True,
) -> web.Application:
    """Return the server as an aiohttp application; it answers below `/scim/v2`, and `/scim/v1` for 1.1.

    `defects` are names from DEFECTS, applied in that order. `trust_forwarded` builds locations from
    `X-Forwarded-Proto` and `X-Forwarded-Host`, so that they are right behind a proxy.

    Raises:
        UsageError: there is no defect of that name.
    """
    chosen = tuple(_defect(name) for name in defects)
    for defect in chosen:
        dialect = replace(dialect, **defect.dialect)
    directory = Directory(clock=time.time, new_id=lambda: str(uuid.uuid4()), dialect=dialect)
    user_id = ""
    if seeded:
        user_id = directory.seed("User", _USER).id
        directory.seed("Group", {**_GROUP, "members": [{"value": user_id}]})
    app = web.Application(client_max_size=max(dialect.max_content, dialect.max_payload) + 1)
    app[_FACE] = _Face(Scene(directory), chosen, token, user_id, trust_forwarded)
    app.router.add_route("*", "/{path:.*}", _handle)
    return app


def _defect(name: str) -> Defect:
    if name not in DEFECTS:
        raise UsageError(f"there is no defect {name!r}", hint=f"known are: {', '.join(DEFECTS)}")
    return DEFECTS[name]


async def _handle(request: web.Request) -> web.StreamResponse:
    face = request.app[_FACE]
    try:
        content = await request.read()
    except web.HTTPRequestEntityTooLarge:
        return _response(_reply(_refusal(413, "The body is larger than this server takes")))
    except (ConnectionError, aiohttp.ClientPayloadError):  # the client went away in the middle of its body
        return _Raw(b"", close=True)
    base, call = _call(request, face, content)
    if base == BASE_PATH_1:
        answer = version1.answer(call, lambda one: _serve(one, face), face.scene.directory.dialect)
    else:
        answer = _serve(call, face)
    reply = _reply(answer)
    for defect in face.defects:
        if defect.on_reply is not None:
            reply = defect.on_reply(reply, call, face.scene)
    if reply.delay_s:
        await asyncio.sleep(reply.delay_s)
    return _response(reply)


def _serve(asked: Call, face: _Face) -> Answer:
    """Answer a call of SCIM 2.0, bent by the defects."""
    call = asked
    if call.path.startswith("/") or not call.path:
        for defect in face.defects:
            if defect.on_call is not None:
                call = defect.on_call(call, face.scene)
        answer = face.scene.directory.handle(call) if _may_enter(call, face) else _unauthorized(call)
    else:
        answer = _refusal(404, f"There is nothing here; the base path is {BASE_PATH}, or {BASE_PATH_1} for 1.1")
    for defect in face.defects:
        if defect.on_answer is not None:
            answer = defect.on_answer(answer, asked, face.scene)
    return answer


def _call(request: web.Request, face: _Face, content: bytes) -> tuple[str, Call]:
    """Return the base path and the call below it; outside both, a call whose path does not begin with a slash."""
    target = request.raw_path
    if "://" in target.partition("?")[0]:  # absolute form (RFC 9112 section 3.2.2)
        target = "/" + target.partition("://")[2].partition("/")[2]
    path, _, query = target.partition("?")
    base = BASE_PATH_1 if path == BASE_PATH_1 or path.startswith(f"{BASE_PATH_1}/") else BASE_PATH
    below = path.removeprefix(base) if path.startswith(base) else "outside"
    headers = Headers.from_raw(request.raw_headers)
    base_url = _base_url(headers, face, request) + base
    return base, Call(request.method, below, query, headers, content, base_url, face.user_id or None)


def _base_url(headers: Headers, face: _Face, request: web.Request) -> str:
    proto, host = "http", headers.get("Host", "")
    if face.trust_forwarded:
        proto = "https" if (headers.get("X-Forwarded-Proto") or "").lower() == "https" else "http"
        host = headers.get("X-Forwarded-Host") or host
    if not host or not _HOST.fullmatch(host):
        address = request.get_extra_info("sockname", ("127.0.0.1", 0))
        host = f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"
    return f"{proto}://{host}"


def _may_enter(call: Call, face: _Face) -> bool:
    if any(defect.open_door for defect in face.defects):
        return True
    scheme, _, given = (call.headers.get("Authorization") or "").partition(" ")
    same = hmac.compare_digest(given.strip().encode("latin-1"), face.token.encode())
    return scheme.lower() == "bearer" and same


def _unauthorized(call: Call) -> Answer:
    challenge = 'Bearer realm="scim"'
    if "Authorization" in call.headers:
        challenge += ', error="invalid_token"'
    answer = _refusal(401, "The bearer token is missing or wrong")
    return replace(answer, headers=answer.headers.with_field("WWW-Authenticate", challenge))


def _refusal(status: int, detail: str) -> Answer:
    headers = Headers([("Content-Type", "application/scim+json")])
    return Answer(status, headers, {"schemas": [ERROR], "detail": detail, "status": str(status)})


def _reply(answer: Answer) -> Reply:
    return Reply(answer.status, answer.headers, answer.content())


def _response(reply: Reply) -> web.StreamResponse:
    if reply.raw is not None:
        return _Raw(reply.raw, close=reply.close)
    response = web.Response(status=reply.status, body=reply.content or None)
    for name, value in reply.headers:
        if name.lower() == "content-type":
            response.headers["Content-Type"] = value
        else:
            response.headers.add(name, value)
    if reply.close:
        response.force_close()
    return response


class _Raw(web.StreamResponse):
    """Bytes that go out as they are: what a library that keeps to HTTP cannot be made to send."""

    def __init__(self, raw: bytes, *, close: bool) -> None:
        super().__init__()
        self._raw = raw
        self._closes = close

    @property
    def keep_alive(self) -> bool:
        """Whether the connection stays open."""
        return not self._closes

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write everything at once."""
        if request.transport is not None:
            request.transport.write(self._raw)
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to write."""


class Demo:
    """A running server: where it is and what opens it. Close it, or use it with `async with`."""

    def __init__(self, runner: web.AppRunner, host: str, port: int, token: str, face: _Face) -> None:
        self._runner = runner
        self.host = host
        self.port = port
        self.token = token
        self.user_id = face.user_id
        self.directory = face.scene.directory

    @property
    def url(self) -> str:
        """The SCIM base URL."""
        return f"{self._origin}{BASE_PATH}"

    @property
    def url_1(self) -> str:
        """The base URL of SCIM 1.1."""
        return f"{self._origin}{BASE_PATH_1}"

    @property
    def _origin(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    async def close(self) -> None:
        """Stop listening and close every connection."""
        await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    token: str | None = None,
    defects: Iterable[str] = (),
    dialect: Dialect = DEFAULT_DIALECT,
    seeded: bool = True,
    trust_forwarded: bool = True,
) -> Demo:
    """Start the server on a loopback address and return it; port 0 takes a free one, no token makes one up.

    Raises:
        UsageError: the host is not a loopback address, or a defect is unknown.
        ScimproxyError: the port is taken.
    """
    if not _is_loopback(host):
        raise UsageError(
            f"the demo server listens on loopback only, not on {host}", hint="use 127.0.0.1, ::1 or localhost"
        )
    token = token or secrets.token_urlsafe(16)
    app = create_app(token=token, defects=defects, dialect=dialect, seeded=seeded, trust_forwarded=trust_forwarded)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1" if host == "localhost" else host, port)
    try:
        await site.start()
    except OSError as exc:
        await runner.cleanup()
        raise ScimproxyError(
            f"the demo server cannot listen on {host} port {port}: {exc.strerror or exc}",
            hint="choose another port, or 0 for a free one",
        ) from exc
    address = runner.addresses[0]
    return Demo(runner, address[0], address[1], token, app[_FACE])


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
