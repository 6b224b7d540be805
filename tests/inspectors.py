"""An inspector over a small database, asked over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from factories import T0, exchange, run, suite_step

from scimproxy.store import Store
from scimproxy.store.suites import SuiteRows
from scimproxy.suite.results import SuiteResult
from scimproxy.web.server import Inspector, InspectorOptions

TOKEN = "a-token-that-nobody-guesses"
ID = "2819c223-7f76-453a-919d-413861904646"
USER = {
    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
    "id": ID,
    "userName": "bjensen",
    "meta": {"version": "1"},
}
SCRIPT = "<script>alert(1)</script>"


def fill(db: Path, *, more: int = 0) -> None:
    """A recording in which a user lives, a hostile exchange, and a suite's run that failed."""
    with Store.open(db) as store:
        first = store.start_run(run(name="first"))
        assert first.id is not None
        add = lambda **fields: store.add(exchange(**{"run_id": first.id, **fields}))  # noqa: E731
        add(method="POST", target="/scim/v2/Users", status_code=201, body={"userName": "bjensen"}, answer=USER)
        add(target=f"/scim/v2/Users/{ID}", answer=USER)
        patch = {"Operations": [{"op": "replace", "path": "active", "value": False}]}
        add(method="PATCH", target=f"/scim/v2/Users/{ID}", body=patch, answer={**USER, "active": False})
        add(target="/scim/v2/Users?filter=userName%20eq%20%22bjensen%22", answer={"totalResults": 0, "Resources": []})
        add(method="DELETE", target=f"/scim/v2/Users/{ID}", status_code=204)
        add(
            target=f"/scim/v2/Users/{SCRIPT}",
            status_code=404,
            answer=SCRIPT,
            note=SCRIPT,
            tags=(SCRIPT,),
            client=SCRIPT,
        )
        for at in range(more):
            add(target=f"/scim/v2/Groups/{at}", status_code=404)
        store.finish_run(first.id, ended_at=T0 + 60)
        second = store.start_run(run(kind="suite", name=f"suite {SCRIPT}"))
        assert second.id is not None
        number = store.add(exchange(run_id=second.id, target="/scim/v2/Users?count=1"))
        rows = SuiteRows(store, second.id)
        rows.save(SuiteResult(name="suite", result="fail", started_at=T0, ended_at=T0 + 1, warnings=(SCRIPT,)))
        rows.add(suite_step(note=SCRIPT, exchange_id=number))
        store.finish_run(second.id, ended_at=T0 + 61)


class Client:
    """Asks an inspector, with the token unless told otherwise."""

    def __init__(self, inspector: Inspector) -> None:
        self.inspector = inspector
        self.url = inspector.url.rstrip("/")
        self.http = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))

    async def ask(
        self, method: str, path: str, *, token: str | None = TOKEN, headers: dict[str, str] | None = None, **more: Any
    ) -> tuple[int, str, aiohttp.ClientResponse]:
        """Status, text and the answer."""
        given = {**({} if token is None else {"Authorization": f"Bearer {token}"}), **(headers or {})}
        async with self.http.request(method, self.url + path, headers=given, allow_redirects=False, **more) as answer:
            return answer.status, (await answer.read()).decode("utf-8", "replace"), answer

    async def json(self, path: str) -> Any:
        """The JSON of a page of the API."""
        async with self.http.get(self.url + path, headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.close()


@asynccontextmanager
async def inspecting(db: Path, **options: Any) -> AsyncIterator[Client]:
    """An inspector that may change things, unless told otherwise, and who asks it."""
    inspector = Inspector(replace(InspectorOptions(db=db, token=TOKEN, read_only=False), **options))
    await inspector.start()
    try:
        async with Client(inspector) as client:
            yield client
    finally:
        await inspector.stop()
