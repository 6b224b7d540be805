"""A client that drives a SCIM server through what exports must survive, and the run that this makes."""

from __future__ import annotations

import itertools
import json
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from scimproxy import demo
from scimproxy.client import Client
from scimproxy.exchange import Content, Exchange, Headers, Request, Run
from scimproxy.redact import redact

TOKEN = "Tok-1234567890"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
ODD = 'Zoë "{{x}}" # ${y} `z` \\ \' %s {0}'


def number_ids(monkeypatch: pytest.MonkeyPatch, start: int = 1) -> None:
    """Make the demo server count its ids: 1, 2, 3, ... as many servers with a database do."""
    count = itertools.count(start)
    monkeypatch.setattr(demo, "uuid", SimpleNamespace(uuid4=lambda: next(count)))


async def driven(url: str, token: str = TOKEN) -> list[Exchange]:
    """Drive the server at `url` and return what happened, as a recording would hold it."""
    parts = urlsplit(url)
    origin, base = f"{parts.scheme}://{parts.netloc}", parts.path
    made: list[Exchange] = []
    async with Client() as client:

        async def go(method: str, path: str, body: object = None, /, auth: str = token, **fields: str) -> Any:
            headers = [("Authorization", f"Bearer {auth}"), ("User-Agent", "driver")]
            headers += [("Content-Type", "application/scim+json")] if body is not None else []
            headers += [(name.replace("_", "-"), value) for name, value in fields.items()]
            data = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
            request = Request(method, base + path, headers=Headers(headers), content=Content.of(data))
            exchange = await client.send(request, origin)
            made.append(exchange)
            assert exchange.response is not None, exchange.failure
            return json.loads(exchange.response.content.data or b"null")

        async def changed(user: str) -> str:
            return str((await go("GET", f"/Users/{user}"))["meta"]["version"])

        await go("GET", "/ServiceProviderConfig")
        await go("GET", "/Users", auth="a-wrong-token")
        await go("GET", "/Users?filter=userName%20eq%20%22zoe@example.com%22")
        name = {"givenName": ODD, "familyName": "Q"}
        zoe = {"schemas": [USER], "userName": "zoe@example.com", "externalId": "ext-77", "name": name, "active": True}
        user = (
            await go("POST", "/Users", {**zoe, "password": "Hunter-2222", "emails": [{"value": "zoe@example.com"}]})
        )["id"]
        await go("POST", "/Users", zoe)
        boss = (await go("POST", "/Users", {"schemas": [USER], "userName": "boss"}))["id"]
        crew = {
            "schemas": [GROUP],
            "displayName": "Crew",
            "members": [{"value": user}, {"value": boss, "type": "User"}],
        }
        group = (await go("POST", "/Groups", crew))["id"]
        location = f"{url}/Users/{user}"
        for operation in (
            {"op": "remove", "path": f'members[value eq "{user}"]'},
            {"op": "add", "path": "members", "value": [{"value": user, "$ref": location}]},
            {"op": "replace", "value": {"displayName": "Crew two"}},
        ):
            await go("PATCH", f"/Groups/{group}", {"schemas": [PATCH], "Operations": [operation]})
        await go("GET", "/Groups?filter=members.value%20eq%20%22" + user + "%22")
        version = await changed(user)
        await go("PUT", f"/Users/{user}", {**zoe, "id": user, "active": False}, If_Match=version)
        await go("PUT", f"/Users/{user}", {**zoe, "id": user}, If_Match=version)
        await go("GET", "/Users?filter=userName%20eq%20%22ZOE@EXAMPLE.COM%22")
        await go("GET", "/Users/nope")
        await go("GET", "/Users?startIndex=1&count=2")
        await go("DELETE", f"/Users/{user}")
        await go("GET", f"/Users/{user}")
        await go("DELETE", f"/Users/{boss}")
        await go("DELETE", f"/Groups/{group}")
    return [redact(exchange)[0] for exchange in made]


RUN = Run(kind="record", name="driven", started_at=1_790_000_000.0)
