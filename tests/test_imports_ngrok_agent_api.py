from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from test_imports_ngrok_requests import listed, one

from scimproxy.errors import FormatError, ScimproxyError, UsageError
from scimproxy.imports.formats import read
from scimproxy.imports.ngrok_agent_api import captured


class Agent:
    """The part of ngrok's local API that lists requests."""

    def __init__(self) -> None:
        self.status = 200
        self.asked: list[str] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path_qs)
        return web.Response(status=self.status, body=listed(one()), content_type="application/json")


@pytest.fixture
async def agent() -> AsyncIterator[Agent]:
    found = Agent()
    app = web.Application()
    app.router.add_get("/api/requests/http", found.answer)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


async def test_what_the_agent_has_kept_is_read(agent: Agent) -> None:
    for url in (agent.url, f"http://{agent.url}/", f"http://localhost:{agent.url.rpartition(':')[2]}"):
        form, _, exchanges = read(await captured(url, limit=100_000), "ngrok")
        assert (form, len(exchanges)) == ("ngrok", 1)
    assert set(agent.asked) == {"/api/requests/http?limit=10000"}


async def test_what_is_no_agent_is_told(agent: Agent) -> None:
    agent.status = 401
    with pytest.raises(ScimproxyError, match="answered 401"):
        await captured(agent.url, limit=100_000)
    agent.status = 200
    with pytest.raises(FormatError, match="more than 10 bytes"):
        await captured(agent.url, limit=10)


async def test_nobody_there(unused_tcp_port: int) -> None:
    with pytest.raises(ScimproxyError, match=r"does not answer at http://127\.0\.0\.1:"):
        await captured(f"http://127.0.0.1:{unused_tcp_port}", limit=10)
    with pytest.raises(ScimproxyError, match=r"does not answer at http://\[::1\]:"):
        await captured(f"http://[::1]:{unused_tcp_port}", limit=10)


@pytest.mark.parametrize(
    "url", ["http://ngrok.example:4040", "https://127.0.0.1:4040", "http://10.0.0.1", "http://", "http://h:x"]
)
async def test_other_machines_are_not_asked(url: str) -> None:
    with pytest.raises(UsageError):
        await captured(url, limit=10)
