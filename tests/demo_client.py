"""A SCIM client that reads bytes, so that nothing which is wrong on the wire is made right by a library."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from scimproxy.demo import Demo

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"


@dataclass
class Got:
    """One response as it stood on the wire; `whole` is False when the connection ended inside it."""

    status: int = 0
    version: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b""
    whole: bool = True
    beyond: bytes = b""
    closed: bool = False

    @property
    def body(self) -> Any:
        return json.loads(self.content)


class Client:
    """Speaks to one running server, with its token unless told otherwise."""

    def __init__(self, demo: Demo) -> None:
        self.demo = demo
        self.parts = urlsplit(demo.url)

    async def __call__(
        self, method: str, path: str, body: Any = None, /, *, token: str | None = "", **headers: str
    ) -> Got:
        reader, writer = await asyncio.open_connection(self.demo.host, self.demo.port)
        try:
            return await self.on(reader, writer, method, path, body, token=token, **headers)
        finally:
            writer.close()
            await writer.wait_closed()

    async def on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        method: str,
        path: str,
        body: Any = None,
        /,
        *,
        token: str | None = "",
        **headers: str,
    ) -> Got:
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        fields = {"Host": self.parts.netloc, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if token is not None:
            fields["Authorization"] = f"Bearer {token or self.demo.token}"
        if content:
            fields |= {"Content-Type": "application/scim+json", "Content-Length": str(len(content))}
        target = path if "://" in path else self.parts.path + path.replace(" ", "%20").replace('"', "%22")
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + content)
        return await self._read(reader, method)

    @staticmethod
    async def _read(reader: asyncio.StreamReader, method: str) -> Got:
        got = Got()
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except asyncio.IncompleteReadError:
            got.whole = False
            return got
        got.version, status, *_ = head[0].split(" ")
        got.status = int(status)
        got.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
        close = got.headers.get("connection") == "close" or got.version == "HTTP/1.0"
        try:
            if got.headers.get("transfer-encoding") == "chunked":
                while size := int(await reader.readuntil(b"\r\n"), 16):
                    got.content += (await reader.readexactly(size + 2))[:-2]
            elif method != "HEAD" and got.status not in (204, 304):
                got.content = await reader.readexactly(int(got.headers.get("content-length", "0")))
        except asyncio.IncompleteReadError as exc:
            got.content, got.whole = got.content + exc.partial, False
            return got
        if close:
            got.beyond, got.closed = await reader.read(), True
        return got

    async def create(self, name: str = "Ada.L@example.com", /, **more: Any) -> Got:
        user = {
            "schemas": [USER],
            "userName": name,
            "externalId": "4711",
            "password": "t1meMa$heen",
            "active": True,
            "name": {"familyName": "Löve", "givenName": "Ada"},
            "emails": [{"value": name, "type": "work", "primary": True}],
        }
        return await self("POST", "/Users", user | more)

    async def created(self, name: str = "Ada.L@example.com", /, **more: Any) -> str:
        """Make a user and return its path, also where the answer does not tell."""
        await self.create(name, **more)
        return f"/Users/{self.demo.directory.records('User')[-1].id}"

    async def patch(self, path: str, *operations: dict[str, Any]) -> Got:
        return await self("PATCH", path, {"schemas": [PATCH], "Operations": list(operations)})
