"""The checks of `scimproxy doctor` that are about tunnels: programs, tokens, and what keeps them from working.

One rule: as in `doctor`: nothing is changed, nothing secret is shown, nothing raises. Names are resolved only where
the user asked about a tunnel. Place in the flow: beside it.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from scimproxy.doctor import Check, Owner, port_owner
from scimproxy.tunnel import leftovers, ngrok_binary
from scimproxy.tunnel.contract import TunnelError
from scimproxy.tunnel.ngrok import NgrokSettings, known_settings
from scimproxy.tunnel.recipes import RECIPES

if TYPE_CHECKING:
    from scimproxy.tunnel.ngrok_config import Version

__all__ = ["check_ngrok", "examine_tunnel"]

AGENT_PORT = 4040
OLDEST = (3, 0)
_HOSTS = ("connect.ngrok-agent.com",)
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy")
_BUILT_AT = 1_780_000_000.0
"""This code was written after that moment (2026): a clock before it is wrong."""


def examine_tunnel(
    name: str,
    *,
    resolve: Callable[[str], object] = socket.gethostbyname,
    owner: Callable[[int], Owner | None] = port_owner,
    clock: Callable[[], float] = time.time,
) -> Iterator[Check]:
    """Yield what matters for one kind of tunnel; `name` as for `--tunnel`, what follows a colon does not matter."""
    kind = name.partition(":")[0]
    if kind == "ngrok":
        yield _agent_port(owner)
        yield from _names(resolve)
    elif kind == "ssh":
        yield _program("ssh", "your system's openssh-client")
    elif kind in RECIPES:
        yield _program(RECIPES[kind].command[0], RECIPES[kind].install)
    else:
        yield Check(
            "tunnel", "warn", f"there is nothing to check for {kind!r}", "`scimproxy tunnel list` lists tunnels"
        )
    yield from _left()
    yield _proxies()
    yield _clock(clock())


def check_ngrok(
    home: Path, *, path: Path | None = None, version: Callable[[Path], Version] = ngrok_binary.agent_version
) -> Iterator[Check]:
    """Check that the ngrok agent (at `path`, or where it is looked for) is here, new enough, and has a token.

    The token itself is never shown.
    """
    agent = path if path is not None else ngrok_binary.find_agent(ngrok_binary.config_folders(home))
    if agent is None:
        hint = "`scimproxy tunnel install` gets it from ngrok; or use another tunnel (`scimproxy tunnel list`)"
        yield Check("ngrok", "warn", "no ngrok agent found", hint)
    else:
        yield _version(agent, version)
    try:
        token = known_settings(NgrokSettings(home=home)).token
    except TunnelError as exc:
        yield Check("ngrok token", "fail", exc.message, exc.hint)
        return
    if token is not None:
        where = "NGROK_AUTHTOKEN" if os.environ.get("NGROK_AUTHTOKEN", "").strip() else "ngrok.yml"
        yield Check("ngrok token", "ok", f"in {where}")
    elif agent is not None:
        hint = "set NGROK_AUTHTOKEN, or run `ngrok config add-authtoken`"
        yield Check("ngrok token", "warn", "no token: the agent cannot open a tunnel", hint)


def _version(agent: Path, version: Callable[[Path], Version]) -> Check:
    try:
        found = version(agent)
    except TunnelError as exc:
        return Check("ngrok", "fail", exc.message, exc.hint)
    said = f"agent {found[0]}.{found[1]} at {agent}"
    if found < OLDEST:
        return Check("ngrok", "warn", f"{said}, which ngrok's servers refuse by now", "`scimproxy tunnel install`")
    return Check("ngrok", "ok", said)


def _agent_port(owner: Callable[[int], Owner | None]) -> Check:
    """Say who uses ngrok's usual local port: another agent counts toward the account's limit."""
    other = owner(AGENT_PORT)
    if other is None:
        return Check("port 4040", "ok", f"nobody uses {AGENT_PORT}, where an ngrok agent shows its inspector")
    who = f"{other.name} (pid {other.pid})"
    if "ngrok" in other.name:
        return Check(
            "port 4040",
            "warn",
            f"another ngrok agent runs: {who}",
            "it may hold your URL (ERR_NGROK_334), and counts toward the account's agents (ERR_NGROK_108)",
        )
    return Check("port 4040", "ok", f"{AGENT_PORT} is used by {who}; scimproxy takes another port")


def _names(resolve: Callable[[str], object]) -> Iterator[Check]:
    for host in _HOSTS:
        try:
            resolve(host)
        except (OSError, UnicodeError) as exc:
            why = getattr(exc, "strerror", None) or str(exc)
            yield Check("dns", "fail", f"{host} cannot be resolved: {why}", "check the network, VPN and DNS server")
        else:
            yield Check("dns", "ok", f"{host} resolves")


def _program(name: str, install: str) -> Check:
    found = shutil.which(name)
    if found is None:
        return Check("tunnel", "fail", f"there is no program {name!r} on this machine", f"install it: {install}")
    return Check("tunnel", "ok", f"{name} at {found}")


def _left() -> Iterator[Check]:
    for one in leftovers.find():
        runs = f"its program still runs (pid {one.pid})" if one.pid is not None else "its program has ended"
        yield Check(
            "leftovers",
            "warn",
            f"a tunnel of a scimproxy that was killed left {one.folder}; {runs}",
            "the next `scimproxy up --tunnel` cleans that up",
        )


def _proxies() -> Check:
    """Name the proxy variables; their values may hold a password."""
    found = [name for name in _PROXIES if os.environ.get(name)]
    if not found:
        return Check("proxies", "ok", "no proxy is set in the environment")
    return Check(
        "proxies",
        "warn",
        f"{', '.join(found)} set: the tunnel's program goes through that proxy",
        "it has to allow long-lived TLS connections; calls to this machine pass it by in any case",
    )


def _clock(now: float) -> Check:
    told = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now))
    if now < _BUILT_AT:
        return Check(
            "clock", "fail", f"the clock says {told}, which is past", "certificates are refused until it is set"
        )
    return Check("clock", "ok", told)
