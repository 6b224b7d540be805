from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from listeners import free_port, listener

from scimproxy.tunnel.ngrok_agent import _details, _last_words, ask_api, in_thread, is_dev_domain
from scimproxy.tunnel.ngrok_agent import free_port as ours


def test_the_local_api_answers_or_not() -> None:
    with listener(
        lambda target: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + (b"{}" if "a" in target else b"xx")
    ) as port:
        assert ask_api(port, "GET", "/a") == (200, {})
        assert ask_api(port, "GET", "/x") == (200, None)
    assert ask_api(free_port(), "GET", "/a") == (0, None)
    with listener(lambda _: b"no HTTP at all\r\n\r\n") as port:
        assert ask_api(port, "GET", "/a") == (0, None)
    assert 0 < ours() < 65536


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"details": {"err": "x ERR_NGROK_334"}, "msg": "m"}', "x ERR_NGROK_334"),
        ('{"msg": "m", "details": {}}', "m"),
        ('{"details": "odd"}', '{"details": "odd"}'),
        ("[]", "[]"),
        ("<html>", "<html>"),
    ],
)
def test_the_sentence_of_an_error(body: str, said: str) -> None:
    assert _details(body) == said


def test_the_last_words_of_an_agent() -> None:
    def words(*lines: str, error: str | None = None) -> str:
        logs = [SimpleNamespace(line=line) for line in lines]
        return _last_words(SimpleNamespace(ngrok_error=error, ngrok_logs=logs))

    assert words("lvl=info a", "lvl=eror b", "c", error=None) == "lvl=eror b"
    assert words("a", "", "c") == "c"
    assert words("a", error="e") == "e"


async def test_work_in_a_thread_may_be_abandoned() -> None:
    assert await in_thread(lambda: 1) == 1
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 // 0)
    abandoned = in_thread(lambda: 2)
    abandoned.cancel()
    await asyncio.gather(abandoned, return_exceptions=True)


def test_domains_that_stay() -> None:
    assert is_dev_domain("https://abc.ngrok-free.app")
    assert not is_dev_domain("https://localhost:1")
