"""The contract of a tunnel provider, kept by each: a stand-in of ngrok's agent, a real one, ssh, programs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from conformance.tunnels import PATIENCE_S, ROOT, TunnelRig, ask, children, echo_server, program_of, rig_of

from scimproxy.tunnel.contract import Ended, Local, Lost, Regained, TunnelError
from scimproxy.tunnel.process import PREFIX

KINDS = ["standin", "standin-v2", "real-agent", "script", "localtunnel", "ssh"]


@pytest.fixture(params=KINDS)
async def rig(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[TunnelRig]:
    async with rig_of(request.param, tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
async def local() -> AsyncIterator[Local]:
    async with echo_server() as where:
        yield where


def left(folder: Path) -> list[object]:
    """What of a tunnel is still there: processes, private folders."""
    return [*children(str(folder)).values(), *folder.glob(f"{PREFIX}*")]


async def test_traffic_goes_both_ways(rig: TunnelRig, local: Local, tmp_path: Path) -> None:
    provider = rig.make()
    provider.check()
    up = await provider.open(local)
    try:
        big = os.urandom(2 * 1024 * 1024)
        seen, came_back = await ask(rig, up.url, "/Users?x=%2F", big)
        assert seen["first"] == "POST /Users?x=%2F HTTP/1.1"
        assert came_back == big
        answers = await asyncio.gather(*(ask(rig, up.url, f"/{number}", b"body") for number in range(10)))
        assert [seen["first"].split()[1] for seen, _ in answers] == [f"/{number}" for number in range(10)]
    finally:
        await provider.close()
    assert left(tmp_path) == []


async def test_the_address_of_the_client_is_told_where_it_is_vouched_for(rig: TunnelRig, local: Local) -> None:
    provider = rig.make()
    up = await provider.open(local)
    try:
        seen, _ = await ask(rig, up.url, X_Forwarded_For="198.51.100.7", X_Forwarded_Proto="gopher")
    finally:
        await provider.close()
    chain = [value.strip() for value in seen["fields"]["x-forwarded-for"].split(",")]
    if provider.traits.vouches_for_client:
        assert chain == ["198.51.100.7", "127.0.0.1"]
        assert seen["fields"]["x-forwarded-proto"].split(",")[-1].strip() == up.url.partition("://")[0]
    else:
        assert chain == ["198.51.100.7"]  # nobody wrote it but the client: that is why it is not believed


async def test_a_killed_program_is_noticed_and_the_same_url_asked_for(
    rig: TunnelRig, local: Local, tmp_path: Path
) -> None:
    provider = rig.make()
    first = await provider.open(local)
    os.kill(program_of(provider), signal.SIGKILL)
    async with asyncio.timeout(PATIENCE_S):
        while not isinstance(change := await provider.watch(), Ended):
            pass
    assert "signal 9" in change.error.message
    assert not change.error.fatal
    await provider.close()
    assert left(tmp_path) == []
    second = None
    while second is None:  # the far side may hold the URL a moment longer: that is no fatal error
        try:
            second = await provider.open(local, first.url)
        except TunnelError as exc:
            if exc.fatal:
                raise
    try:
        if rig.again:
            assert second.url == first.url
        await ask(rig, second.url)
    finally:
        await provider.close()
    assert left(tmp_path) == []


async def test_a_lost_session_comes_back_by_itself(rig: TunnelRig, local: Local) -> None:
    if rig.drop is None:
        pytest.skip("this program has no session of its own: it ends, and is started again")
    provider = rig.make()
    up = await provider.open(local)
    try:
        rig.drop()
        async with asyncio.timeout(PATIENCE_S):
            assert isinstance(await provider.watch(), Lost)
            assert await provider.watch() == Regained(up.url)
            while True:  # the agent tells of its session a moment before its endpoint is bound again
                with contextlib.suppress(ConnectionRefusedError):
                    await ask(rig, up.url)
                    break
                await asyncio.sleep(0)
    finally:
        await provider.close()


async def test_closing_leaves_nothing_whenever_it_comes(rig: TunnelRig, local: Local, tmp_path: Path) -> None:
    provider = rig.make()
    await provider.close()
    opening = asyncio.create_task(provider.open(local))
    while not list(tmp_path.glob(f"{PREFIX}*/program.json")) and not opening.done():  # noqa: ASYNC110 - a file
        await asyncio.sleep(0)
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    await provider.close(at_once=True)
    await provider.close()
    assert left(tmp_path) == []
    await provider.open(local)
    await provider.close()
    await provider.close()
    assert left(tmp_path) == []


async def test_no_secret_is_on_a_command_line_or_in_another_file(
    rig: TunnelRig, local: Local, tmp_path: Path
) -> None:
    provider = rig.make()
    await provider.open(local)
    try:
        running = children(str(tmp_path))
        assert program_of(provider) in running
        (den,) = tmp_path.glob(f"{PREFIX}*")
        assert den.stat().st_mode & 0o077 == 0
        for secret in rig.secrets:
            assert not [line for line in running.values() if secret in line]
            holders = [path for path in den.iterdir() if path.is_file() and secret in path.read_text()]
            assert [path.name for path in holders] == [rig.secret_file]
            assert holders[0].stat().st_mode & 0o077 == 0
    finally:
        await provider.close()


OWNER = """
import asyncio, json, sys
sys.path[:0] = [{root!r}, {tests!r}]
from conformance.tunnels import rig_of
from scimproxy.tunnel.contract import Local
import pytest
from pathlib import Path
async def main():
    patch = pytest.MonkeyPatch()
    folder = Path({folder!r})
    async with rig_of({kind!r}, folder, patch) as rig:
        provider = rig.make()
        up = await provider.open(Local("127.0.0.1", {port}))
        print(json.dumps(up.url), flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
async def test_it_dies_with_us_however_we_die(
    number: signal.Signals, rig: TunnelRig, local: Local, tmp_path: Path
) -> None:
    if rig.name == "ssh":
        folder = tmp_path / "owned"  # the rig made its keys in tmp_path already
        folder.mkdir()
    else:
        folder = tmp_path
    text = OWNER.format(root=str(ROOT), tests=str(ROOT / "tests"), folder=str(folder), kind=rig.name, port=local.port)
    owner = subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, text=True, env={**os.environ, "HOUSE": "owner"}
    )
    try:
        assert owner.stdout is not None
        assert await asyncio.to_thread(owner.stdout.readline)
        programs = [pid for pid in children(str(tmp_path)) if pid != owner.pid]
        assert programs
    finally:
        owner.send_signal(number)  # nothing handles it: it ends as a program ends that nobody asked
        await asyncio.to_thread(owner.wait, 30)
        if owner.stdout is not None:
            owner.stdout.close()
        if rig.name == "ssh":  # the far side is no part of the tunnel: it outlives it
            os.kill(int((folder / "sshd.pid").read_text()), signal.SIGTERM)
    async with asyncio.timeout(PATIENCE_S):
        while left(tmp_path):  # noqa: ASYNC110 - the watcher is another process
            await asyncio.sleep(0.01)


async def test_what_cannot_be_opened_is_an_error_and_leaves_nothing(tmp_path: Path, rig: TunnelRig) -> None:
    if rig.name in {"script", "localtunnel", "ssh"}:
        pytest.skip("told in tests/test_tunnel_command.py")
    provider = rig.make()
    settings = provider._settings  # type: ignore[attr-defined]
    assert settings.config is not None
    text = settings.config.read_text()
    for token, code in (("", "ERR_NGROK_4018"), ("not-a-token", "ERR_NGROK_105")):
        lines = [line for line in text.splitlines() if not line.startswith("authtoken")]
        settings.config.write_text("\n".join([*lines, *([f"authtoken: {token}"] if token else [])]) + "\n")
        with pytest.raises(TunnelError) as caught:
            await provider.open(Local("127.0.0.1", 9))
        assert (caught.value.code, caught.value.fatal) == (code, True)
        assert "not-a-token" not in caught.value.message + (caught.value.hint or "")
        assert left(tmp_path) == []
