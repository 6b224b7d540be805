"""Fixtures that many rooms share: a folder for a database, real SCIM servers that are not ours."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from servers import Peer, scim2_server, scimmy

# The same examples every time, so that a red run can be repeated; SCIMPROXY_FUZZ=1 looks for new ones.
settings.register_profile("steady", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("fuzz", deadline=None, print_blob=True)
settings.load_profile("fuzz" if os.environ.get("SCIMPROXY_FUZZ") else "steady")

ROOT = Path(__file__).resolve().parent.parent
NUMBERS = itertools.count()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(autouse=True)
def _own_surroundings(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No test reads or writes the developer's own database, token or proxy settings.

    Only who asks for a folder gets one made: thousands of tests of pure functions take less time than that.
    """
    if "tmp_path" in request.fixturenames:
        folder = own = request.getfixturevalue("tmp_path")
    else:
        folder = tmp_path_factory.getbasetemp()
        own = folder / f"none-{next(NUMBERS)}"  # nobody makes it
    monkeypatch.setenv("SCIMPROXY_DB", str(own / "own.db"))
    monkeypatch.setenv("SCIMPROXY_CA_DIR", str(own / "own-ca"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("SCIMPROXY_UI", "0")  # tests of the inspector ask for it
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))  # private folders of tunnels
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


@pytest.fixture(name="scimmy", params=["express5", "express4"])
def _scimmy(request: pytest.FixtureRequest) -> Iterator[Peer]:
    """scimmy-routers on Express 5 and 4 (installed by scripts/test)."""
    folder = ROOT / ".peers" / request.param
    if not (folder / "node_modules").is_dir() or not shutil.which("node"):
        pytest.skip(f"{request.param} is not installed: ./scripts/test installs it with npm")
    yield from scimmy(folder)


@pytest.fixture(name="scim2_server")
def _scim2_server() -> Iterator[Peer]:
    """scim2-server (HTTP/1.0, closes after each answer)."""
    pytest.importorskip("scim2_server", reason="scim2-server needs Python 3.13 beside mitmproxy")
    yield from scim2_server()
