"""Fixtures that many rooms share: a folder for a database, real SCIM servers that are not ours."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from servers import SCIM2_SERVER, TOKEN, Peer, end

# The same examples every time, so that a red run can be repeated; SCIMPROXY_FUZZ=1 looks for new ones.
settings.register_profile("steady", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("fuzz", deadline=None, print_blob=True)
settings.load_profile("fuzz" if os.environ.get("SCIMPROXY_FUZZ") else "steady")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the developer's own database, token or proxy settings."""
    monkeypatch.setenv("SCIMPROXY_DB", str(tmp_path / "own.db"))
    monkeypatch.setenv("NO_COLOR", "1")
    for name in (
        "NGROK_AUTHTOKEN",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "http_proxy",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=["express5", "express4"])
def scimmy(request: pytest.FixtureRequest) -> Iterator[Peer]:
    """scimmy-routers on Express 5 and 4 (installed by scripts/test)."""
    folder = ROOT / ".peers" / request.param
    if not (folder / "node_modules").is_dir() or not shutil.which("node"):
        pytest.skip(f"{request.param} is not installed: ./scripts/test installs it with npm")
    process = subprocess.Popen(
        ["node", "server.mjs"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "SCIM_TOKEN": TOKEN},
    )
    try:
        assert process.stdout
        port = json.loads(process.stdout.readline())["port"]
        yield Peer(request.param, port, "/scim/v2")
    finally:
        end(process)


@pytest.fixture
def scim2_server() -> Iterator[Peer]:
    """scim2-server (HTTP/1.0, closes after each answer)."""
    pytest.importorskip("scim2_server", reason="scim2-server needs Python 3.13 beside mitmproxy")
    process = subprocess.Popen(
        [sys.executable, "-c", SCIM2_SERVER, "--port", "0", "--hostname", "127.0.0.1", "--bearer-token", TOKEN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout
        line = next(line for line in process.stdout if line.startswith("port "))
        yield Peer("scim2-server", int(line.split()[1]), "/v2")
    finally:
        end(process)
