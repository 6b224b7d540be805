"""Configuration of the ngrok agent: the user's own is read for the token and how to connect, ours is written. Pure.

One rule: of the user's file only what is needed to reach ngrok's servers is taken. Endpoints and tunnels defined
there would change ours silently, a web address or a log format would break pyngrok.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from scimproxy.tunnel.contract import TunnelError

__all__ = ["Known", "Version", "agent_config", "read_config"]

type Version = tuple[int, int]

CONNECTING = (
    "connect_url",
    "connect_cas",
    "connect_timeout",
    "crl_noverify",
    "dns_resolver_ips",
    "heartbeat_interval",
    "heartbeat_tolerance",
    "proxy_url",
    "region",
    "root_cas",
    "server_addr",
)
"""How the agent reaches ngrok's servers (in version 2: server_addr, root_cas)."""

NEWEST = (3, 30)
"""From here on the local API has endpoints, and the configuration is of version 3."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the user's own configuration tells us."""

    token: str | None = field(default=None, repr=False)
    connecting: Mapping[str, Any] = field(default_factory=dict)


def read_config(text: str, where: str) -> Known:
    """Return what we take from a configuration of the agent, of version 1, 2 or 3.

    Raises:
        TunnelError: it is no YAML mapping.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        # The text of the error quotes the file, which holds the token.
        mark = getattr(exc, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise TunnelError(
            f"{where}{line}: this is not YAML", hint="mend it; `ngrok config check` says more", fatal=True
        ) from None
    if document is None:
        return Known()
    if not isinstance(document, dict):
        raise TunnelError(f"{where}: this is not a configuration of ngrok", hint="`ngrok config check`", fatal=True)
    agent = document.get("agent")
    settings = agent if isinstance(agent, dict) else document
    token = settings.get("authtoken") or document.get("authtoken")
    return Known(
        token=str(token).strip() if token else None,
        connecting={name: settings[name] for name in CONNECTING if settings.get(name) is not None},
    )


def agent_config(version: Version, *, token: str | None, web_port: int, connecting: Mapping[str, Any]) -> str:
    """Return the configuration for our agent: no inspector, no updates, nothing remote; it answers us only."""
    settings: dict[str, Any] = {"web_addr": f"127.0.0.1:{web_port}", "console_ui": False}
    if token:
        settings["authtoken"] = token
    if version < (3, 0):
        settings |= {"update": False, "update_check": False}
        document: dict[str, Any] = {**settings, **connecting}
    else:
        settings |= {
            "update_check": False,
            "remote_management": False,
            "inspect_db_size": -1,
            "metadata": "scimproxy",
            **connecting,
        }
        document = {"version": "3", "agent": settings} if version >= NEWEST else {"version": "2", **settings}
    text: str = yaml.safe_dump(document, sort_keys=False)
    return text
