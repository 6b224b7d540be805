from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from pathlib import Path

import pytest

from scimproxy.tunnel.contract import TunnelError
from scimproxy.tunnel.process import PREFIX, Den, Program, runtime_folder, started_at

SPEAKS = "import sys, time; print('one', flush=True); print('two', file=sys.stderr, flush=True); time.sleep(600)"
DEAF = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def heard(*code: str, until: int = 1, env: dict[str, str] | None = None) -> tuple[Program, list[str]]:
    lines: list[str] = []
    enough = asyncio.Event()

    def hear(line: str) -> None:
        lines.append(line)
        if len(lines) >= until:
            enough.set()

    program = Program([sys.executable, "-c", *code], hear, env=env)
    async with asyncio.timeout(60):
        await asyncio.wait({asyncio.ensure_future(enough.wait()), program.ended}, return_when=asyncio.FIRST_COMPLETED)
    return program, lines


async def test_a_program_is_heard_and_ended() -> None:
    program, lines = await heard(SPEAKS, until=2)
    assert sorted(lines) == ["one", "two"]  # what it complains about, too
    assert runs(program.pid)
    await program.end()
    await program.end()
    assert not runs(program.pid)
    assert await program.ended == -15


async def test_one_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scimproxy.tunnel.process.TERM_S", 0.05)
    program, _ = await heard(DEAF)
    await program.end()
    assert await program.ended == -9


async def test_at_once_means_at_once() -> None:
    program, _ = await heard(DEAF)
    await program.end(at_once=True)
    assert not runs(program.pid)


async def test_a_program_that_ends_by_itself() -> None:
    program, lines = await heard("print('last words'); raise SystemExit(7)", until=99)
    assert await program.ended == 7
    assert lines == ["last words"]
    await program.end()


async def test_a_program_that_does_not_exist(tmp_path: Path) -> None:
    said: list[str] = []
    program = Program([str(tmp_path / "none")], said.append)
    assert await program.ended == 127
    assert said == [f"cannot start {tmp_path / 'none'}: No such file or directory"]
    await program.end()


async def test_tokens_of_ours_are_not_in_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NGROK_AUTHTOKEN", "SECRET")
    code = "import os; print(os.environ.get('NGROK_AUTHTOKEN'), os.environ.get('MORE'), flush=True)"
    program, lines = await heard(code, env={"MORE": "more"})
    assert lines == ["None more"]
    await program.end()


async def test_the_private_folder_is_private_and_goes_with_it(tmp_path: Path) -> None:
    program, _ = await heard(SPEAKS)
    (folder,) = tmp_path.glob(f"{PREFIX}*")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {
        stat.S_IMODE(path.stat().st_mode) & 0o077 for path in folder.iterdir() if path.name != "program.json"
    } == {0}
    noted = json.loads((folder / "program.json").read_text())
    assert noted == {"pid": program.pid, "started": started_at(program.pid)}
    assert json.loads((folder / "owner.json").read_text())["pid"] == os.getpid()
    await program.end()
    assert not folder.exists()


def test_a_den_without_a_program() -> None:
    den = Den()
    assert den.pid is None
    path = den.write("secret", "x")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    den.end_group()
    den.end_group()
    assert not den.folder.exists()


def test_where_run_time_files_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert runtime_folder() == tmp_path
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert runtime_folder().is_dir()


def test_no_room_for_a_private_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("scimproxy.tunnel.process.runtime_folder", lambda: tmp_path / "none")
    with pytest.raises(TunnelError, match="cannot make a private folder") as caught:
        Den()
    assert caught.value.fatal


def test_a_process_is_told_from_a_later_one_of_its_number() -> None:
    assert started_at(os.getpid()) == started_at(os.getpid())
    assert started_at(999_999_999) is None
