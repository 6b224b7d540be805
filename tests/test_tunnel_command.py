from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

import pytest
from conformance.tunnels import STANDINS, children, echo_server, ssh_server

from scimproxy.tunnel import command as module
from scimproxy.tunnel.command import Command
from scimproxy.tunnel.contract import Ended, Local, TunnelError
from scimproxy.tunnel.process import PREFIX
from scimproxy.tunnel.recipes import RECIPES, Recipe, command_recipe
from scimproxy.tunnel.ssh import ssh_recipe

HERE = Local("127.0.0.1", 9)
FORWARD = f"{sys.executable} {STANDINS / 'forward.py'} {{port}}"
URL = r"your tunnel: (http://127\.0\.0\.1:\d+)"


def made(words: str, *, start_s: float = 30.0, **more: object) -> Recipe:
    known = command_recipe(f"{FORWARD} {words}", URL)
    return Recipe(
        name="mine", command=known.command, traits=known.traits, pattern=URL, start_s=start_s, **more  # type: ignore[arg-type]
    )  # fmt: skip


def left(folder: Path) -> list[object]:
    return [*children(str(folder)).values(), *folder.glob(f"{PREFIX}*")]


def test_a_program_that_is_not_here_is_told_with_where_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(TunnelError, match="no program 'cloudflared'") as caught:
        Command(RECIPES["cloudflared"]).check()
    assert caught.value.fatal
    assert "github.com/cloudflare" in (caught.value.hint or "")


async def test_a_program_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(TunnelError, match=r"mine has ended \(exit code 4\): cannot reach the relay") as caught:
        await Command(made("--die")).open(HERE)
    assert not caught.value.fatal
    assert left(tmp_path) == []


async def test_a_program_that_tells_no_url_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    with pytest.raises(TunnelError, match="told no public URL within 0 s"):
        await Command(made("--silent", start_s=0.3)).open(HERE)
    assert left(tmp_path) == []


async def test_a_url_that_is_known_needs_not_be_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "SETTLED_S", 0.05)
    provider = Command(made("--silent"), public_url="https://mine.example")
    up = await provider.open(HERE)
    assert (up.url, up.stable) == ("https://mine.example", True)
    await provider.close()
    assert left(tmp_path) == []


async def test_a_failure_is_found_among_what_it_says(tmp_path: Path) -> None:
    code = "print('debug1: x'); print('Error: taken'); print('bye'); raise SystemExit(1)"
    recipe = Recipe(
        name="mine",
        command=(sys.executable, "-c", code),
        traits=made("").traits,
        failure="Error",
        noise="debug1:",
    )
    with pytest.raises(TunnelError, match=r"\(exit code 1\): Error: taken$"):
        await Command(recipe).open(HERE)


async def test_ssh_where_the_port_is_taken(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        local = await stack.enter_async_context(echo_server())
        remote, make = ssh_server(tmp_path, stack)
        taken = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", remote)
        provider = Command(make(), public_url=f"http://127.0.0.1:{remote}")
        with pytest.raises(TunnelError, match=f"remote port forwarding failed for listen port {remote}") as caught:
            await provider.open(local)
        assert not caught.value.fatal
        taken.close()
        await taken.wait_closed()
        await provider.open(local)
        watching = asyncio.create_task(provider.watch())
        await asyncio.sleep(0)
        await provider.close()
        assert isinstance(await watching, Ended)


async def test_ssh_with_a_key_that_is_not_allowed(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        remote, make = ssh_server(tmp_path, stack)
        (tmp_path / "authorized").write_text("")
        provider = Command(make(), public_url=f"http://127.0.0.1:{remote}")
        with pytest.raises(TunnelError, match="Permission denied"):
            await provider.open(HERE)


async def test_ssh_to_a_host_that_is_not_known(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        remote, make = ssh_server(tmp_path, stack)
        (tmp_path / "known").write_text("")
        provider = Command(make(), public_url=f"http://127.0.0.1:{remote}")
        with pytest.raises(TunnelError, match="Host key verification failed"):
            await provider.open(HERE)


def test_the_recipe_of_ssh_is_one_of_these() -> None:
    assert Command(ssh_recipe("serveo")).name == "ssh"
