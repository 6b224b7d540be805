from __future__ import annotations

import hashlib
import io
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from listeners import free_port, listener

from scimproxy.tunnel.contract import TunnelError
from scimproxy.tunnel.ngrok_binary import (
    BINARY,
    agent_version,
    config_folders,
    default_path,
    download_url,
    find_agent,
    install,
)

AGENT = b"#!/bin/sh\necho 'ngrok version 3.39.10'\n"


def tgz(**members: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as packed:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    return file.getvalue()


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return file.getvalue()


def answer(body: bytes, *, length: int | None = None, status: int = 200) -> bytes:
    return (
        f"HTTP/1.1 {status} X\r\nContent-Length: {length or len(body)}\r\nConnection: close\r\n\r\n".encode() + body
    )


@pytest.mark.parametrize("pack", [tgz, zipped])
def test_the_agent_is_downloaded_whole(pack: object, tmp_path: Path) -> None:
    assert callable(pack)
    archive = pack(**{"README": b"x", BINARY: AGENT})
    with listener(lambda _: answer(archive)) as port:
        made = install(f"http://127.0.0.1:{port}/ngrok.tgz", tmp_path / "new" / BINARY)
    assert (made.version, made.sha256) == ((3, 39), hashlib.sha256(AGENT).hexdigest())
    assert made.path.read_bytes() == AGENT
    assert made.path.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in made.path.parent.iterdir()] == [BINARY]


@pytest.mark.parametrize(
    ("said", "body"),
    [
        ("broke off", answer(tgz(**{BINARY: AGENT})[:-10], length=len(tgz(**{BINARY: AGENT})))),
        ("not the agent's archive", answer(b"<html>")),
        ("not the agent's archive", answer(tgz(**{BINARY: AGENT})[:50])),
        ("not the agent's archive", answer(tgz(README=b"x"))),
        ("not the agent's archive", answer(zipped(README=b"x"))),
        ("is not an ngrok agent", answer(tgz(**{BINARY: b"#!/bin/sh\necho hello\n"}))),
        ("cannot be run", answer(tgz(**{BINARY: b"\x7fELF"}))),
        ("cannot download", answer(b"", status=404)),
    ],
)
def test_what_is_not_the_agent_replaces_nothing(said: str, body: bytes, tmp_path: Path) -> None:
    path = tmp_path / BINARY
    path.write_bytes(b"old")
    with listener(lambda _: body) as port, pytest.raises(TunnelError, match=said):
        install(f"http://127.0.0.1:{port}/ngrok.tgz", path)
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == [BINARY]


def test_nobody_to_download_from(tmp_path: Path) -> None:
    with pytest.raises(TunnelError, match="cannot download"):
        install(f"http://127.0.0.1:{free_port()}/x", tmp_path / BINARY)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TunnelError, match="cannot put the agent at"):
        install("http://127.0.0.1:1/x", tmp_path / "file" / BINARY)


def test_where_it_is_from_and_goes_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from pyngrok import installer

    assert download_url().startswith("https://bin.ngrok.com/")
    monkeypatch.setattr(installer, "PLATFORMS", {})
    with pytest.raises(TunnelError, match="no ngrok agent for this machine"):
        download_url()
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert default_path(tmp_path) in [folder / BINARY for folder in config_folders(tmp_path)]


def test_an_agent_that_does_not_say_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "slow"
    path.write_text("#!/bin/sh\nexec sleep 600\n")
    path.chmod(0o700)
    monkeypatch.setattr("scimproxy.tunnel.ngrok_binary._VERSION_S", 0.1)
    with pytest.raises(TunnelError, match="does not say its version"):
        agent_version(path)


def test_the_script_of_pyngrok_is_not_the_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYNGROK_NGROK_PATH", raising=False)
    shim = Path(sys.executable).parent / BINARY
    monkeypatch.setenv("PATH", str(shim.parent))
    assert shim.exists(), "pip puts it there"
    assert find_agent([]) is None
