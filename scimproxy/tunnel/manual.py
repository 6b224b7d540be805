"""A tunnel that somebody else runs: only its URL is known. Nothing is started, nothing ends.

One rule: what is not ours is not vouched for, and not taken down.
"""

from __future__ import annotations

import asyncio

from scimproxy.tunnel.contract import Change, Local, Traits, TunnelUp

__all__ = ["Manual"]


class Manual:
    """The provider behind `--tunnel manual --public-url URL`."""

    name = "manual"

    def __init__(self, public_url: str) -> None:
        self.traits = Traits(stable_url=True, encrypted=None)
        self._url = public_url

    def check(self) -> None:
        """Nothing can be missing."""

    async def open(self, local: Local, wanted: str | None = None) -> TunnelUp:  # noqa: ARG002 - the contract's
        """Return the URL that was given."""
        return TunnelUp(url=self._url, stable=True, detail="a tunnel that you run yourself")

    async def watch(self) -> Change:
        """Wait for ever: nothing is known of it."""
        never: asyncio.Future[Change] = asyncio.get_running_loop().create_future()
        return await never

    async def close(self, *, at_once: bool = False) -> None:
        """Leave it alone."""
