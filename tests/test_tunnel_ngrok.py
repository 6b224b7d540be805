"""What can go wrong with pyngrok and an agent, each brought about by the stand-in; the contract is shown elsewhere."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from conformance.tunnels import TunnelRig, ask, children, echo_server, program_of, standin_agent
from standins.edge import TOKEN

from scimproxy.tunnel import ngrok as module
from scimproxy.tunnel.contract import Ended, Local, Lost, Regained, TunnelError
from scimproxy.tunnel.ngrok import Ngrok, NgrokSettings, known_settings
from scimproxy.tunnel.process import PREFIX

HERE = Local("127.0.0.1", 9)
PLAIN = TunnelRig("standin", Ngrok)


@pytest.fixture
async def local() -> AsyncIterator[Local]:
    async with echo_server() as where:
        yield where


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NGROK_AUTHTOKEN", TOKEN)
    return standin_agent(tmp_path)


def made(agent: Path, **more: Any) -> Ngrok:
    return Ngrok(NgrokSettings(path=agent, home=agent.parent, **more))


def left(folder: Path) -> list[object]:
    return [*children(str(folder)).values(), *folder.glob(f"{PREFIX}*")]


@pytest.mark.parametrize("fault", ["hang", "api-hang"])
async def test_an_agent_that_hangs_is_not_waited_for(
    fault: str, agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_FAULT", fault)
    provider = made(agent, start_s=1.0)
    with pytest.raises(TunnelError, match="did not come up within 1 s") as caught:
        await provider.open(HERE)
    assert not caught.value.fatal
    assert left(tmp_path) == []
    monkeypatch.setenv("STANDIN_FAULT", "")
    again = made(agent)
    await again.open(HERE)  # pyngrok's lock is free again
    await again.close()


async def test_an_agent_that_ends_without_a_word(
    agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_FAULT", "silent-exit")
    with pytest.raises(TunnelError, match="the ngrok agent failed"):
        await made(agent).open(HERE)
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("fault", "code", "fatal"), [("session-limit", "ERR_NGROK_108", True), ("url-online", "ERR_NGROK_334", False)]
)
async def test_what_ngrok_refuses(
    fault: str, code: str, fatal: bool, agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_FAULT", fault)
    with pytest.raises(TunnelError) as caught:
        await made(agent).open(HERE, "http://127.0.0.1:1")
    assert (caught.value.code, caught.value.fatal) == (code, fatal)
    assert left(tmp_path) == []


async def test_a_url_that_cannot_be_asked_for_is_given_up_if_nobody_named_it(
    agent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_FAULT", "url-paid")
    provider = made(agent)
    up = await provider.open(HERE, "https://random.ngrok.example")
    assert up.url.startswith("http://127.0.0.1:")
    await provider.close()
    with pytest.raises(TunnelError, match="ERR_NGROK_320"):
        await made(agent, url="https://mine.example").open(HERE)


async def test_a_port_that_was_taken_meanwhile_is_another_the_next_time(
    agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_FAULT", "port-taken")
    monkeypatch.setenv("STANDIN_MARK", str(tmp_path / "mark"))
    provider = made(agent)
    await provider.open(HERE)
    assert (tmp_path / "mark").exists()
    await provider.close()
    assert left(tmp_path) == []


async def test_a_deaf_agent_is_killed(agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANDIN_FAULT", "deaf")
    monkeypatch.setattr("scimproxy.tunnel.process.TERM_S", 0.05)
    provider = made(agent)
    await provider.open(HERE)
    await provider.close()
    assert left(tmp_path) == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_line_that_stops_pyngroks_reader_does_not_stop_the_agent(
    agent: Path, local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by this test: pyngrok reads strictly, and a reader that died fills the agent's pipe after 500 requests."""
    provider = made(agent)
    up = await provider.open(local)
    assert provider._agent is not None
    monitor = provider._agent.monitor
    assert monitor is not None
    monitor.pyngrok_config.log_event_callback = lambda _: 1 / 0  # whatever makes it raise
    thread = monitor._monitor_thread
    assert thread is not None
    await ask(PLAIN, up.url)
    await asyncio.to_thread(thread.join, 30)
    assert not thread.is_alive()
    monitor.pyngrok_config.log_event_callback = provider._hear
    from scimproxy.tunnel import ngrok_agent

    ngrok_agent.revive(provider._agent)
    revived = monitor._monitor_thread
    assert revived is not None
    assert revived.is_alive()
    for _ in range(20):
        await ask(PLAIN, up.url)
    await provider.close()


async def test_a_proxy_in_the_environment_does_not_get_the_local_calls(
    agent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("no_proxy", "intranet.example")
        provider = made(agent)
        await provider.open(HERE)
        await provider.close()
    assert os.environ["no_proxy"] == "intranet.example"
    assert "NO_PROXY" not in os.environ


async def test_the_url_may_be_another_after_a_lost_session(agent: Path, local: Local) -> None:
    provider = made(agent)
    up = await provider.open(local)
    os.kill(program_of(provider), signal.SIGUSR2)
    assert isinstance(await provider.watch(), Lost)
    change = await provider.watch()
    assert isinstance(change, Regained)
    assert change.url != up.url
    await ask(PLAIN, change.url)
    await provider.close()


async def test_a_local_api_that_falls_silent_is_the_end(agent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr("scimproxy.tunnel.ngrok_agent.API_S", 0.2)
    provider = made(agent)
    await provider.open(HERE)
    os.kill(program_of(provider), signal.SIGSTOP)
    change = await provider.watch()
    assert isinstance(change, Ended)
    assert "does not answer" in change.error.message
    os.kill(program_of(provider), signal.SIGCONT)
    await provider.close()


async def test_two_tunnels_at_once_do_not_know_of_each_other(agent: Path, local: Local, tmp_path: Path) -> None:
    one, two = made(agent), made(agent)
    first, second = await one.open(local), await two.open(local)
    assert first.url != second.url
    await one.close()
    await ask(PLAIN, second.url)
    await two.close()
    assert left(tmp_path) == []


def test_where_the_token_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "ngrok").mkdir()
    (tmp_path / "ngrok" / "ngrok.yml").write_text("version: 3\nagent:\n  authtoken: file\n  proxy_url: http://p:1\n")
    settings = NgrokSettings(home=tmp_path)
    assert known_settings(settings).token == "file"
    monkeypatch.setenv("NGROK_AUTHTOKEN", " env ")
    assert known_settings(settings).token == "env"
    named = known_settings(NgrokSettings(home=tmp_path, token="option"))
    assert (named.token, named.connecting) == ("option", {"proxy_url": "http://p:1"})
    assert "option" not in repr(NgrokSettings(token="option"))
    monkeypatch.delenv("NGROK_AUTHTOKEN")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    assert known_settings(NgrokSettings(home=tmp_path / "none")).token is None
    with pytest.raises(TunnelError, match="cannot be read"):
        known_settings(NgrokSettings(config=tmp_path / "none.yml"))
    (tmp_path / "latin").write_bytes(b"\xff")
    with pytest.raises(TunnelError, match="not UTF-8"):
        known_settings(NgrokSettings(config=tmp_path / "latin"))


def test_what_is_missing_is_told_before_anything_starts(
    agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("PYNGROK_NGROK_PATH", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises(TunnelError, match="no ngrok agent on this machine") as caught:
        Ngrok(NgrokSettings(home=tmp_path)).check()
    assert caught.value.code == "no-agent"
    with pytest.raises(TunnelError, match="is not a program"):
        Ngrok(NgrokSettings(path=tmp_path)).check()
    monkeypatch.setenv("PATH", os.defpath)
    made(agent).check()
    monkeypatch.setenv("STANDIN_VERSION", "3.20.0")
    with pytest.raises(TunnelError, match=r"needs an ngrok agent from 3\.30 on; this is 3\.20"):
        made(agent, policy={"on_http_request": []}).check()
    monkeypatch.delenv("NGROK_AUTHTOKEN")
    with pytest.raises(TunnelError, match="ERR_NGROK_4018"):
        made(agent).check()


async def test_a_traffic_policy_goes_with_the_endpoint(agent: Path) -> None:
    provider = made(agent, policy={"on_http_request": []})
    up = await provider.open(HERE)
    assert up.detail == "ngrok agent 3.39"
    await provider.close()
