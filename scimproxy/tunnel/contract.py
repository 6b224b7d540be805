"""The contract between the house and a tunnel provider. Nothing of any provider's program appears here.

The rules every provider keeps, and tests/conformance/test_tunnel_contract.py shows:

1. `open` returns once the public URL is known to work for the provider, or raises a `TunnelError`, within its own
   deadline, whatever its program does; after the error nothing of it runs.
2. `watch` tells what becomes of the tunnel, one change after the other, and ends with `Ended`.
3. `close` may be called at any time and twice; when it returns, no process and no file of the tunnel is left.
4. No secret is on a command line, in a message or in a log; it is in the provider's private file only.
5. When our process dies, however it dies, its tunnel dies too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from scimproxy.errors import ScimproxyError

__all__ = [
    "Change",
    "Ended",
    "Local",
    "Lost",
    "Provider",
    "Regained",
    "Traits",
    "TunnelError",
    "TunnelUp",
    "origin_of",
]


class TunnelError(ScimproxyError):
    """A tunnel could not be opened or was lost. `fatal`: trying again would not help; `code`: the provider's own."""

    def __init__(
        self, message: str, *, hint: str | None = None, fatal: bool = False, code: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.fatal = fatal
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What is true of a kind of tunnel.

    `vouches_for_client`: the last value of X-Forwarded-For is written by the provider, whatever clients send.
    `stable_url`: the same URL after a restart (None: it depends). `encrypted`: nobody between the client and this
    machine but the provider's own servers reads the traffic (None: it depends on how it is set up). `shows_address`:
    callers learn the public address of this machine. `warning`: what else a person should know.
    """

    public: bool = True
    vouches_for_client: bool = False
    stable_url: bool | None = None
    encrypted: bool | None = True
    needs_token: bool = False
    shows_address: bool = False
    warning: str | None = None


@dataclass(frozen=True, slots=True)
class Local:
    """Where the tunnel leads: the address that our engine listens on."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """The address as a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelUp:
    """A tunnel that is open. `url` has no slash at its end; `stable` as in `Traits`; `detail` is for a person."""

    url: str
    stable: bool | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """The tunnel carries nothing for now, but its program is at work to get it back."""

    reason: str


@dataclass(frozen=True, slots=True)
class Regained:
    """It is back; the URL may have changed."""

    url: str


@dataclass(frozen=True, slots=True)
class Ended:
    """It is over and has to be opened anew (not where `error.fatal`)."""

    error: TunnelError


type Change = Lost | Regained | Ended


class Provider(Protocol):
    """A way to open one tunnel; made with its settings, used inside one event loop, opened again after `close`."""

    name: str
    traits: Traits

    def check(self) -> None:
        """Look for what is missing on this machine (a program, a token), without the network.

        Raises:
            TunnelError: something is missing, with what to do.
        """

    async def open(self, local: Local, wanted: str | None = None) -> TunnelUp:
        """Open the tunnel to `local`; `wanted` is the URL it had before, asked for again where that is possible.

        Raises:
            TunnelError: it cannot be opened.
        """

    async def watch(self) -> Change:
        """Wait for the next change of an open tunnel. After `Ended` nothing follows."""

    async def close(self, *, at_once: bool = False) -> None:
        """Take the tunnel down; with `at_once` without asking it nicely first."""


_LOOSE_END = re.compile(r"[.,;:)\]}'\"/]+$")


def origin_of(url: str) -> str | None:
    """Return scheme and authority of a public URL; None where it is none.

    Text that programs print may hold a full stop or a bracket after the URL; that is no part of it.
    """
    try:
        parts = urlsplit(_LOOSE_END.sub("", url.strip()))
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0 or "@" in parts.netloc:
        return None
    return f"{parts.scheme}://{parts.netloc.lower()}"
