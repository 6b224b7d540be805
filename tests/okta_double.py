"""A double of an Okta org for the CRUD suite: its API for users and app assignments, and what Okta then sends a SCIM server.

It plays what that suite's steps need and no more: made by hand, from the API's public description, on loopback. An
assignment, a changed profile, a deactivation is provisioned before the API answers, where Okta takes its time, so
that no test waits. Assigning looks the user up by userName and creates or replaces it; taking away sets `active` to
false; the profile is replaced with PUT (developer.okta.com, "SCIM concepts").
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
from aiohttp import web

APP = "0oadouble1"
TOKEN = "token-of-the-double"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


class OktaDouble:
    """The org, with one app whose provisioning goes to `scim_url`; `lazy` provisions nothing.

    `calls` are the SCIM requests it sent and their status codes, in order.
    """

    def __init__(self, scim_url: str, scim_auth: str, *, lazy: bool = False) -> None:
        self._scim_url = scim_url
        self._scim_auth = scim_auth
        self._lazy = lazy
        self._users: dict[str, dict[str, Any]] = {}
        self._assigned: dict[str, str | None] = {}
        """Okta's id of a user -> the SCIM server's."""
        self.calls: list[tuple[str, int]] = []
        self.url = ""

    # --- the org's API

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._checked])
        user, assignment = "/api/v1/users/{user}", "/api/v1/apps/{app}/users"
        app.router.add_get("/api/v1/apps/{app}", self._read_app)
        app.router.add_post("/api/v1/users", self._create)
        app.router.add_put(user, self._change)
        app.router.add_post(user + "/lifecycle/deactivate", self._deactivate)
        app.router.add_post(user + "/lifecycle/activate", self._activate)
        app.router.add_post(assignment, self._assign)
        app.router.add_delete(assignment + "/{user}", self._unassign)
        return app

    @web.middleware
    async def _checked(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"SSWS {TOKEN}":
            return web.json_response({"errorCode": "E0000011"}, status=401)
        info = request.match_info
        if info.get("app", APP) != APP or ("user" in info and info["user"] not in self._users):
            return web.json_response({"errorCode": "E0000007"}, status=404)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _read_app(self, _: web.Request) -> web.Response:
        return web.json_response({"id": APP, "status": "ACTIVE", "features": ["PUSH_NEW_USERS"]})

    async def _create(self, request: web.Request) -> web.Response:
        sent = await request.json()
        profile = sent["profile"]
        if any(one["profile"]["login"] == profile["login"] for one in self._users.values()):
            return web.json_response({"errorCode": "E0000001"}, status=400)
        number = f"00udouble{len(self._users) + 1}"
        status = "ACTIVE" if request.query.get("activate") == "true" else "STAGED"
        self._users[number] = {"id": number, "status": status, "profile": profile}
        return web.json_response(self._users[number])

    async def _change(self, request: web.Request) -> web.Response:
        user = self._users[request.match_info["user"]]
        user["profile"] = (await request.json())["profile"]
        there = self._assigned.get(user["id"])
        if there is not None:
            await self._replace(there, user)
        return web.json_response(user)

    async def _deactivate(self, request: web.Request) -> web.Response:
        """Take the user out of its apps as well, as an org does."""
        user = self._users[request.match_info["user"]]
        user["status"] = "DEPROVISIONED"
        await self._take_away(user)
        return web.json_response({})

    async def _activate(self, request: web.Request) -> web.Response:
        self._users[request.match_info["user"]]["status"] = "ACTIVE"
        return web.json_response({"activationToken": "none"})

    async def _assign(self, request: web.Request) -> web.Response:
        user = self._users.get((await request.json())["id"])
        if user is None or user["status"] != "ACTIVE":
            return web.json_response({"errorCode": "E0000007"}, status=404)
        self._assigned[user["id"]] = await self._provision(user)
        return web.json_response({"id": user["id"], "scope": "USER", "status": "PROVISIONED"})

    async def _unassign(self, request: web.Request) -> web.Response:
        user = self._users[request.match_info["user"]]
        if user["id"] not in self._assigned:
            return web.json_response({"errorCode": "E0000007"}, status=404)
        await self._take_away(user)
        return web.Response(status=204)

    # --- what it sends the SCIM server

    async def _provision(self, user: dict[str, Any]) -> str | None:
        name = user["profile"]["login"]
        query = {"filter": f'userName eq "{name}"', "startIndex": "1", "count": "100"}
        found = (await self._scim("GET", "/Users", query=query)).get("Resources")
        if found:
            there: str = found[0]["id"]
            await self._replace(there, user)
            return there
        made: str | None = (await self._scim("POST", "/Users", _resource(user))).get("id")
        return made

    async def _replace(self, there: str, user: dict[str, Any]) -> None:
        await self._scim("GET", f"/Users/{there}")
        await self._scim("PUT", f"/Users/{there}", {**_resource(user), "id": there})

    async def _take_away(self, user: dict[str, Any]) -> None:
        there = self._assigned.pop(user["id"], None)
        if there is not None:
            operation = {"op": "replace", "value": {"active": False}}
            await self._scim("PATCH", f"/Users/{there}", {"schemas": [PATCH_OP], "Operations": [operation]})

    async def _scim(
        self, method: str, path: str, body: Any = None, *, query: dict[str, str] | None = None
    ) -> dict[str, Any]:
        if self._lazy:
            return {}
        headers = {
            "User-Agent": "Okta SCIM Client 1.0.0",
            "Accept": "application/scim+json",
            "Authorization": self._scim_auth,
        }
        data = None
        if body is not None:
            headers["Content-Type"] = "application/scim+json; charset=utf-8"
            data = json.dumps(body).encode()
        # A connection for each request: scim2-server closes after its answer.
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self._scim_url + path, params=query, headers=headers, data=data) as answer,
        ):
            content = await answer.read()
            self.calls.append((method, answer.status))
        document = json.loads(content) if content else {}
        assert isinstance(document, dict)
        return document


def _resource(user: dict[str, Any]) -> dict[str, Any]:
    profile = user["profile"]
    return {
        "schemas": [USER],
        "userName": profile["login"],
        "externalId": user["id"],
        "name": {"givenName": profile["firstName"], "familyName": profile["lastName"]},
        "displayName": f"{profile['firstName']} {profile['lastName']}",
        "emails": [{"primary": True, "value": profile["email"], "type": "work"}],
        "active": True,
    }


@contextmanager
def running(scim_url: str, scim_auth: str, *, lazy: bool = False) -> Iterator[OktaDouble]:
    """Run a double in a thread of its own; `url` is the org's."""
    double = OktaDouble(scim_url, scim_auth, lazy=lazy)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def begin() -> web.AppRunner:
        runner = web.AppRunner(double.app(), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    try:
        runner = asyncio.run_coroutine_threadsafe(begin(), loop).result(30)
        double.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield double
        finally:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()
