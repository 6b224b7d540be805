"""The ngrok agent on this machine: where it is, which version, and how it gets here when a person wants it.

One rule: nothing is downloaded unless somebody asked for it. pip puts a script of pyngrok's called `ngrok` beside
Python; that is never taken for the agent. Edge: the file system, and one download from ngrok's own servers.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import ssl
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from scimproxy.tunnel.contract import TunnelError
from scimproxy.tunnel.ngrok_config import Version

__all__ = ["Installed", "agent_version", "config_folders", "default_path", "download_url", "find_agent", "install"]

_VERSION_S = 30.0
_DOWNLOAD_S = 30.0
_MOST = 200 * 1024 * 1024
BINARY = "ngrok.exe" if os.name == "nt" else "ngrok"


def config_folders(home: Path) -> list[Path]:
    """Return where the agent and pyngrok keep configuration (and pyngrok the agent): now, and in version 2."""
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    return [
        config / "ngrok",
        home / "Library" / "Application Support" / "ngrok",
        home / "AppData" / "Local" / "ngrok",
        home / ".ngrok2",
    ]


def default_path(home: Path) -> Path:
    """Return where `install` puts the agent: the place that pyngrok uses, too."""
    here = {"darwin": 1, "win32": 2}.get(sys.platform, 0)
    return config_folders(home)[here] / BINARY


def find_agent(folders: Iterable[Path]) -> Path | None:
    """Return the ngrok agent: PYNGROK_NGROK_PATH, the PATH, or the folders; never pyngrok's own script."""
    named = os.environ.get("PYNGROK_NGROK_PATH")
    if named and Path(named).is_file():
        return Path(named)
    searched = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    beside_python = Path(sys.executable).parent
    for folder in (*searched, *folders):
        found = folder / BINARY
        if folder == beside_python or not os.access(found, os.X_OK) or not found.is_file():
            continue
        with found.open("rb") as file:
            if file.read(2) != b"#!":  # pip's launcher of pyngrok is a script; the agent is a binary
                return found
    return None


def agent_version(path: Path) -> Version:
    """Ask an agent for its version.

    Raises:
        TunnelError: it does not run, or is no ngrok agent.
    """
    hint = "name the agent with --ngrok-path, or get one with `scimproxy tunnel install`"
    try:
        done = subprocess.run(  # noqa: S603 - the program that the user named, or that is on the PATH
            [str(path), "--version"],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=_VERSION_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TunnelError(
            f"{path} does not say its version within {_VERSION_S:.0f} s", hint=hint, fatal=True
        ) from None
    except OSError as exc:
        raise TunnelError(f"{path} cannot be run: {exc.strerror}", hint=hint, fatal=True) from exc
    found = re.search(r"version (\d+)\.(\d+)", done.stdout + done.stderr)
    if found is None:
        raise TunnelError(f"{path} is not an ngrok agent: it does not say its version", hint=hint, fatal=True)
    return int(found[1]), int(found[2])


@dataclass(frozen=True, slots=True)
class Installed:
    """What was installed: ngrok publishes no checksums, so this one is for a person to compare."""

    path: Path
    version: Version
    sha256: str


def download_url() -> str:
    """Return where ngrok gives the agent for this machine.

    Raises:
        TunnelError: there is none for it.
    """
    from pyngrok import exception, installer  # noqa: PLC0415 - only who installs needs it

    try:
        return str(installer.get_ngrok_cdn_url("3"))
    except exception.PyngrokError as exc:
        raise TunnelError(f"there is no ngrok agent for this machine: {exc}", fatal=True) from exc


def install(url: str, path: Path) -> Installed:
    """Download the agent and put it at `path`, whole or not at all; an existing file is replaced.

    pyngrok's own installer leaves the archive under a predictable name in the shared temporary folder and unpacks
    whatever it holds; here both happen in a private folder, and one member is taken.

    Raises:
        TunnelError: it cannot be downloaded, is not an agent, or cannot be put there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".ngrok-", dir=path.parent) as private:
            archive = Path(private, "archive")
            _download(url, archive)
            fresh = Path(private, BINARY)
            _unpack(archive, fresh, url)
            fresh.chmod(0o700)
            version = agent_version(fresh)
            digest = hashlib.sha256(fresh.read_bytes()).hexdigest()
            fresh.replace(path)
    except OSError as exc:
        raise TunnelError(f"cannot put the agent at {path}: {exc.strerror or exc}", fatal=True) from exc
    return Installed(path, version, digest)


def _download(url: str, to: Path) -> None:
    try:
        with urllib.request.urlopen(url, timeout=_DOWNLOAD_S) as answer, to.open("wb") as file:  # noqa: S310 - our URL
            _copy(answer, file, url)
            expected = answer.headers.get("Content-Length")
    except (urllib.error.URLError, TimeoutError, ConnectionError) as exc:
        reason = getattr(exc, "reason", exc)
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise TunnelError(
                f"the certificate of {url} is not accepted: {reason.verify_message}",
                hint="a proxy or VPN with its own authority: name its file in SSL_CERT_FILE; or download the agent "
                "with a browser and name it with --ngrok-path",
                fatal=True,
            ) from exc
        raise TunnelError(
            f"cannot download {url}: {reason}",
            hint="check the network; or download the agent with a browser and name it with --ngrok-path",
            fatal=True,
        ) from exc
    if expected is not None and expected.isdigit() and to.stat().st_size != int(expected):
        raise TunnelError(f"the download of {url} broke off", hint="try again", fatal=True)


def _copy(source: IO[bytes], to: IO[bytes], what: str) -> None:
    taken = 0
    while piece := source.read(1 << 20):
        taken += len(piece)
        if taken > _MOST:
            raise TunnelError(f"{what} is larger than any agent", fatal=True)
        to.write(piece)


def _unpack(archive: Path, to: Path, url: str) -> None:
    """Take the one member that is the agent, and write it under our own name."""
    with contextlib.suppress(tarfile.TarError, zipfile.BadZipFile, EOFError, KeyError), to.open("wb") as file:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed, packed.open(BINARY) as member:
                _copy(member, file, url)
                return
        with tarfile.open(archive, "r:*") as tape:
            found = tape.extractfile(BINARY)
            if found is not None:
                shutil.copyfileobj(found, file)
                return
    raise TunnelError(f"what {url} gives is not the agent's archive", hint="try again later", fatal=True)
