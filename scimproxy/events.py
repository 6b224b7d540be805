"""What a recording tells while it goes on: events, for a terminal, a program and the inspector alike.

One rule: an event holds all that its reader needs; nobody asks the recording for more. Made by `app`, told in order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from scimproxy.exchange import Run, TunnelEvent
from scimproxy.proxy.engine import Address
from scimproxy.store import Row

__all__ = ["Event", "Notice", "Ready", "Seen", "Skipped", "Stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The engine listens. `recovered` exchanges were in flight when a recording before this one was killed."""

    url: str
    listen: Address
    run: Run
    db: Path
    recovered: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """An exchange was written: pending, or in its final state."""

    row: Row


@dataclass(frozen=True, slots=True)
class Skipped:
    """So many writes were not told, because they came faster than a person reads."""

    count: int


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a person should know: recording fails or works again, the target does not answer."""

    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The recording has ended and everything is written. `reason` is what ended it (a signal's name, ...).

    `outcomes` counts exchanges by status, or by the kind of failure where there was no answer.
    """

    run_id: int
    reason: str
    outcomes: dict[str, int]
    failures: int
    lost: int
    seconds: float
    lost_reasons: dict[str, int] = field(default_factory=dict)
    at_once: bool = False
    untold: bool = False
    """Whether somebody does not read our output, so that a thread hangs on it."""

    @property
    def exchanges(self) -> int:
        """How many were recorded."""
        return sum(self.outcomes.values())


type Event = Ready | Seen | Skipped | TunnelEvent | Notice | Stopped
