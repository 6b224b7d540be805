from __future__ import annotations

import socket
import ssl

import pytest
import trustme
from listeners import free_port, http, listener

from scimproxy.first_look import _why, knock, try_without_credentials
from scimproxy.proxy.engine import EngineOptions, GuardOptions, Target


class Told(list[str]):
    def __call__(self, message: str, hint: str | None) -> None:
        assert hint
        self.append(message)


async def test_a_server_that_is_there_and_one_that_is_not() -> None:
    told = Told()
    with listener(lambda _: http(200)) as port:
        await knock(Target("http", "127.0.0.1", port), told)
    assert told == []
    nobody = Target("http", "127.0.0.1", free_port())
    await knock(nobody, told)
    assert told == [f"nothing answers at {nobody.origin} yet (connection refused)"]


async def test_only_a_server_that_strangers_reach_is_asked() -> None:
    told, asked = Told(), []

    def reply(target: str) -> bytes:
        asked.append(target)
        return http(200)

    with listener(reply) as port:
        target = Target("http", "127.0.0.1", port, "/scim/v2")
        await try_without_credentials(EngineOptions(target=target), told)
        await try_without_credentials(EngineOptions(target=target, guard=GuardOptions(token="x" * 16)), told)
        assert (asked, told) == ([], [])
        await try_without_credentials(EngineOptions(target=target, guard=GuardOptions()), told)
    assert asked == ["/scim/v2/Users?count=1"]
    assert "answers GET /scim/v2/Users without credentials (200)" in told[0]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TimeoutError(), "no answer"),
        (ConnectionRefusedError(111, "x"), "connection refused"),
        (socket.gaierror(-2, "x"), "the name cannot be resolved"),
        (OSError(113, "x"), "no route to host"),
        (OSError("Multiple exceptions"), "no connection"),
        (UnicodeError("x"), "no connection"),
    ],
)
def test_why_in_words(error: Exception, said: str) -> None:
    assert _why(error) == said


async def test_a_server_with_a_certificate_of_its_own_is_asked_too() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    told = Told()
    with listener(lambda _: http(200), tls=context) as port:
        target = Target("https", "127.0.0.1", port, "/scim/v2")
        await try_without_credentials(EngineOptions(target=target, guard=GuardOptions()), told)
    assert "without credentials (200)" in told[0]
