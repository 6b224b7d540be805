"""The recorder of a mock under load that records nothing, because its user said so.

One rule: nothing is kept of what passes, and no answer waits. It implements `proxy.engine.Recorder`; an engine that
knows it (native) does not even make an exchange for it.
"""

from __future__ import annotations

from collections.abc import Callable

from scimproxy.errors import ScimproxyError
from scimproxy.exchange import Connection, Exchange

__all__ = ["Unrecorded"]


class Unrecorded:
    """Takes everything and keeps nothing but a count of faults."""

    def __init__(self) -> None:
        self.faults = 0

    async def record(self, exchange: Exchange) -> None:
        """Keep nothing."""

    def submit(self, exchange: Exchange, done: Callable[[ScimproxyError | None], None]) -> None:
        """Release the answer."""
        del exchange
        done(None)

    def pending(self, exchange: Exchange) -> None:
        """Keep nothing."""

    async def opened(self, exchange: Exchange) -> None:
        """Keep nothing."""

    def connection(self, connection: Connection) -> None:
        """Keep nothing."""

    def refusing(self) -> ScimproxyError | None:
        """There is always room for nothing."""
        return None

    def lost(self, reason: str) -> None:
        """Count a fault of ours; the engine has logged it."""
        del reason
        self.faults += 1
