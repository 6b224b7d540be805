"""The checks behind `scimproxy doctor`: each looks at one thing of this machine and says what to do about it.

One rule: a check changes nothing and prints no secret; it yields what it found, and never raises for what it looks
at. Place in the flow: beside it; the command line prints the checks.
"""

from __future__ import annotations

import errno
import os
import platform
import re
import shutil
import socket
import sqlite3
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from scimproxy.errors import ScimproxyError
from scimproxy.probe import Answer, NoAnswer, ask, speaks_tls
from scimproxy.proxy.engine import Address, Target

__all__ = ["Check", "examine"]

_LEAST_FREE = 200 * 1024 * 1024
_LONGEST_CHECK_S = 20.0
_BASES = ("/scim/v2", "/scim", "/v2", "/api/scim/v2", "/api/scim", "")


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found: `ok`, `warn` (works, but look) or `fail`, and what to do."""

    name: str
    level: Literal["ok", "warn", "fail"]
    message: str
    hint: str | None = None


def examine(
    *,
    target: Target | None,
    db: Path,
    listen: Address,
    token: str | None = None,
    home: Path | None = None,
    tunnel: str | None = None,
    ngrok_path: Path | None = None,
) -> Iterator[Check]:
    """Yield every check, in the order in which a person would ask; target's and tunnel's only where one is named."""
    if target is not None:
        yield from check_target(target, listen=listen, token=token)
    yield check_port(listen)
    yield from check_database(db)
    yield from check_versions()
    from scimproxy.doctor_tunnel import check_ngrok, examine_tunnel  # noqa: PLC0415 - it needs what is below

    yield from check_ngrok(home or Path.home(), path=ngrok_path)
    if tunnel is not None:
        yield from examine_tunnel(tunnel)


# --- the target ---------------------------------------------------------------------------------------------------


def check_target(target: Target, *, listen: Address, token: str | None) -> Iterator[Check]:
    """Check that something listens at the target, that it speaks the scheme, and that it is SCIM."""
    if target.port == listen.port and target.host in {"localhost", "127.0.0.1", "::1", listen.host}:
        yield Check(
            "target",
            "fail",
            f"TARGET {target} is the address where scimproxy itself would listen",
            "TARGET is your SCIM server; give scimproxy another --port",
        )
        return
    reached = yield from _reach(target)
    if not reached:
        return
    answer = ask(target, "/ServiceProviderConfig", token=token)
    if isinstance(answer, NoAnswer):
        yield _no_answer(target, answer)
        return
    yield Check("scheme", "ok", f"speaks {target.scheme}" + (f" ({answer.tls})" if answer.tls else ""))
    yield from _is_scim(target, answer, token)


def _reach(target: Target) -> Generator[Check, None, bool]:
    """Connect to every address of the host. Returns (as a generator's value) whether one answered."""
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "not a host name"
        yield Check("target", "fail", f"the name {target.host!r} cannot be resolved: {why}", "check the spelling")
        return False
    addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
    refused: dict[str, str] = {}
    for address in addresses:
        try:
            socket.create_connection((address, target.port), timeout=5).close()
        except OSError as exc:
            refused[address] = "timed out" if isinstance(exc, TimeoutError) else (exc.strerror or str(exc)).lower()
    answering = [address for address in addresses if address not in refused]
    if not answering:
        said = "; ".join(f"{address}: {why}" for address, why in refused.items())
        yield Check(
            "target",
            "fail",
            f"nothing answers at {target.origin} ({said})",
            "start your SCIM server, or check the port",
        )
        return False
    if refused:
        yield Check(
            "target",
            "warn",
            f"{target.host} means {' and '.join(addresses)}, but only {', '.join(answering)} answers",
            f"write the address: {target.scheme}://{_bracketed(answering[0])}:{target.port}{target.base_path}",
        )
    else:
        yield Check("target", "ok", f"{target.origin} is reachable ({', '.join(answering)})")
    return True


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _no_answer(target: Target, answer: NoAnswer) -> Check:
    """Say why a server that listens does not answer; the wrong scheme is the most common reason."""
    if target.scheme == "http" and speaks_tls(target):
        secure = str(target).replace("http://", "https://", 1)
        return Check("scheme", "fail", f"{target.origin} speaks TLS, not plain HTTP", f"write TARGET as {secure}")
    if target.scheme == "https" and answer.kind == "tls" and answer.not_tls:
        plain = str(target).replace("https://", "http://", 1)
        return Check("scheme", "fail", f"{target.origin} speaks plain HTTP, not TLS", f"write TARGET as {plain}")
    if answer.kind == "certificate":
        return Check(
            "scheme",
            "fail",
            f"the certificate of {target.origin} is not accepted: {answer.message}",
            "record with --upstream-ca FILE (the authority that signed it) or --insecure-upstream",
        )
    return Check(
        "scheme",
        "fail",
        f"{target.origin} accepts connections but does not answer HTTP: {answer.message}",
        "check that the port is the SCIM server's, and the server's own log",
    )


def _is_scim(target: Target, answer: Answer, token: str | None) -> Iterator[Check]:
    where = f"{target}/ServiceProviderConfig"
    if answer.is_scim:
        yield Check("scim", "ok", f"{where} answers {answer.status} as SCIM should")
    elif answer.status in {401, 403}:
        hint = None if token else "to look further, put the bearer token in SCIMPROXY_TOKEN"
        level: Literal["ok", "warn"] = "warn" if token else "ok"
        yield Check("scim", level, f"{where} wants credentials ({answer.status}); the server is there", hint)
    elif answer.location is not None:
        yield _redirected(target, answer)
    elif answer.status == 404:
        yield _other_base(target, token)
    elif answer.status >= 500:
        yield Check("scim", "fail", f"{where} answers {answer.status}", "look into the server's log")
    elif answer.media_type == "text/html":
        yield Check("scim", "fail", f"{where} answers HTML: this is not a SCIM server's path", "check the base path")
    else:
        yield Check(
            "scim",
            "warn",
            f"{where} answers {answer.status} {answer.media_type or 'without a media type'}, which is not SCIM JSON",
            "RFC 7644 section 4 asks every server for this endpoint; Okta and Entra ID work without it",
        )


def _redirected(target: Target, answer: Answer) -> Check:
    location = answer.location or ""
    where = f"{target}/ServiceProviderConfig redirects ({answer.status}) to {location[:200]}"
    if location.startswith("https:") and target.scheme == "http":
        return Check("scim", "fail", where, "write TARGET with https")
    if location.rstrip("/").endswith("/ServiceProviderConfig") and location.endswith("/"):
        return Check(
            "scim",
            "warn",
            where,
            "SCIM paths have no slash at the end, and clients do not follow redirects of a POST",
        )
    return Check("scim", "warn", where, "clients of SCIM do not follow redirects; use the final address as TARGET")


def _other_base(target: Target, token: str | None) -> Check:
    """The path is not there: look where it usually is, and whether it was typed twice."""
    candidates = list(_BASES)
    half = target.base_path[: len(target.base_path) // 2]
    doubled = bool(half) and half * 2 == target.base_path
    if doubled:
        candidates.insert(0, half)
    parts = target.base_path.split("/")
    candidates += ["/".join(parts[:end]) for end in range(len(parts) - 1, 1, -1)]  # /scim/v2/Users: try /scim/v2
    for base in dict.fromkeys(candidates):
        if base == target.base_path:
            continue
        other = Target(target.scheme, target.host, target.port, base)
        answer = ask(other, "/ServiceProviderConfig", token=token, timeout_s=3)
        if isinstance(answer, Answer) and (answer.is_scim or answer.status in {401, 403}):
            word = "is doubled" if doubled else "is missing" if not target.base_path else "is not the server's"
            return Check(
                "scim",
                "fail",
                f"the base path {target.base_path or '/'!r} {word}: nothing at {target}/ServiceProviderConfig (404)",
                f"write TARGET as {other}",
            )
    return Check(
        "scim",
        "warn",
        f"nothing at {target}/ServiceProviderConfig (404), nor below the usual base paths",
        "TARGET needs the server's base path, like http://127.0.0.1:8000/scim/v2",
    )


# --- where we listen ----------------------------------------------------------------------------------------------


def check_port(listen: Address) -> Check:
    """Check that the port can be listened on; where it is taken, say by whom."""
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    try:
        with closing(socket.socket(family, socket.SOCK_STREAM)) as trial:
            if os.name == "posix":
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as a server does: TIME_WAIT is no owner
            trial.bind((listen.host, listen.port))
    except OSError as exc:
        owner = port_owner(listen.port)
        by = f" by {owner.name} (pid {owner.pid})" if owner else ""
        if isinstance(exc, socket.gaierror) or exc.errno == errno.EADDRNOTAVAIL:
            return Check("port", "fail", f"{listen.host} is no address of this machine", "use 127.0.0.1 or ::1")
        if isinstance(exc, PermissionError):
            return Check("port", "fail", f"port {listen.port} needs privileges", "choose a --port above 1023")
        if owner is not None and owner.is_ours:
            message = f"a recording of scimproxy runs on {listen} (pid {owner.pid})"
            return Check("port", "ok", message, "a second one needs another --port")
        return Check("port", "fail", f"{listen} is taken{by}", "stop that program, or choose another --port")
    return Check("port", "ok", f"{listen} is free")


@dataclass(frozen=True, slots=True)
class Owner:
    """Who listens on a port: a process, and whether it is a scimproxy."""

    name: str
    pid: int
    is_ours: bool


def port_owner(port: int, proc: Path = Path("/proc")) -> Owner | None:
    """Return who listens on a TCP port; None where /proc does not tell (us)."""
    inodes = set[str]()
    for table in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if len(fields) > 9 and fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    if not inodes:
        return None
    for entry in proc.iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            if any(str(descriptor.readlink()) in inodes for descriptor in (entry / "fd").iterdir()):
                name = (entry / "comm").read_text().strip()
                return Owner(name, int(entry.name), _is_ours((entry / "cmdline").read_bytes()))
        except OSError:  # another user's process, or one that just ended
            continue
    return None


def _is_ours(command_line: bytes) -> bool:
    """Whether a process is scimproxy: started as the program, or as a module of Python."""
    words = command_line.split(b"\0")
    return any(word.rpartition(b"/")[2] == b"scimproxy" for word in words[:2]) or b"scimproxy" in words[1:4]


# --- the database -------------------------------------------------------------------------------------------------


def check_database(db: Path) -> Iterator[Check]:
    """Check that the database can be written, is sound and not locked, and that the disk has room."""
    folder = db.absolute().parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        yield Check("database", "fail", f"the folder {folder} is not writable", "choose another place with --db")
        return
    free = shutil.disk_usage(folder).free
    if free < _LEAST_FREE:
        message = f"only {free // (1024 * 1024)} MiB are free where {db} is"
        yield Check("disk", "warn", message, "make room, or `scimproxy prune`")
    if not db.exists():
        yield Check("database", "ok", f"{db} will be made by the first recording")
        return
    if not os.access(db, os.R_OK | os.W_OK):
        yield Check("database", "fail", f"{db} is not readable and writable for you", "check its owner and mode")
        return
    if os.name == "posix" and db.stat().st_mode & 0o077:
        yield Check("database", "warn", f"other users can read {db}", f"chmod 600 {db}")
    yield _sound(db)


def _sound(db: Path) -> Check:
    from scimproxy.store import Reader  # noqa: PLC0415 - the rest of the checks work without the store's libraries

    try:
        with closing(Reader.open(db)):
            pass
    except ScimproxyError as exc:
        return Check("database", "fail", exc.message, exc.hint)
    began = time.monotonic()
    try:
        # Read only: a writer would fold the log of a recording that runs into the file.
        with closing(sqlite3.connect(f"{db.absolute().as_uri()}?mode=ro", uri=True, timeout=2)) as connection:
            connection.set_progress_handler(lambda: int(time.monotonic() - began > _LONGEST_CHECK_S), 100_000)
            problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as exc:
        name = getattr(exc, "sqlite_errorname", "")
        if name.startswith("SQLITE_INTERRUPT"):
            return Check("database", "ok", f"{db} opens; too big to check whole in {_LONGEST_CHECK_S:.0f} s")
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            hint = "end the program that holds it (a second scimproxy, a database browser with unsaved changes)"
            return Check("database", "fail", f"{db} is locked by another process", hint)
        return Check("database", "fail", f"{db} cannot be used: {exc}", "restore a copy, or name another with --db")
    if problem != "ok":
        return Check("database", "fail", f"{db} is damaged: {problem}", "restore a copy, or name another with --db")
    return Check("database", "ok", f"{db} is writable and sound")


# --- versions and the tunnel --------------------------------------------------------------------------------------


def check_versions() -> Iterator[Check]:
    """Check Python and mitmproxy."""
    python = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    yield Check("python", "ok", python)
    try:
        version = metadata.version("mitmproxy")
    except metadata.PackageNotFoundError:
        yield Check(
            "mitmproxy", "fail", "mitmproxy is not installed", "install scimproxy again, with its dependencies"
        )
        return
    known = re.match(r"(\d+)\.(\d+)", version)
    if known and (12, 2) <= (int(known[1]), int(known[2])) < (13, 0):
        yield Check("mitmproxy", "ok", f"mitmproxy {version}")
    else:
        yield Check("mitmproxy", "warn", f"mitmproxy {version} was not tested", "install mitmproxy>=12.2,<13")
