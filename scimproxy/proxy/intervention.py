"""What may happen to a request in place of plain forwarding, and who decides it: the seam for mocks and faults.

One rule: values and a protocol, nothing else. An `Intervener` is pure: it is asked once per request, at once, and
what it answers is carried out by the engine (`directing` and its own part), within the rules of its contract.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from scimproxy.exchange import Request, Response

__all__ = ["MAX_DELAY_S", "Intervener", "Intervention"]

MAX_DELAY_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervention:
    """What happens to one request; everything left out happens as always.

    In this order: `delay_s` passes (a client that leaves is not waited for); `cut="before"` resets the client's
    connection; `response` is the answer, and the upstream is asked nothing; else the upstream is asked, `deliveries`
    times (the client gets the first answer, the second delivery is an exchange of its own; a request that is not kept
    whole, because it is longer than `max_content`, is delivered once); `alter` changes its
    answer; `cut="after"` resets the connection when the upstream has answered.

    `response`: only status, reason, end-to-end fields and content count; how it is framed is the engine's.
    `origin` says whose answer `response` is. `alter` is pure and gets the answer whole: content without content
    coding (the upstream is asked for that) and at most `max_content` of it; what it returns is framed again. What the
    upstream had said is in `Exchange.rewrites` then: the status under `status`, the content under `content`.
    `parent_id`, `note` and `tags` are recorded with the exchange, and say why.
    """

    delay_s: float = 0.0
    cut: Literal["before", "after"] | None = None
    response: Response | None = None
    origin: Literal["mock", "proxy"] = "proxy"
    deliveries: Literal[1, 2] = 1
    alter: Callable[[Response], Response] | None = None
    parent_id: int | None = None
    note: str | None = None
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.delay_s <= MAX_DELAY_S:
            raise ValueError(f"a delay of {self.delay_s} s is not between 0 and {MAX_DELAY_S:g}")

    @property
    def asks(self) -> bool:
        """Whether the upstream is asked."""
        return self.response is None and self.cut != "before"

    @property
    def holds(self) -> bool:
        """Whether the upstream's answer must be whole before the client is told anything."""
        return self.alter is not None or self.cut == "after"


class Intervener(Protocol):
    """Decides what happens to requests; None in `EngineOptions` costs nothing."""

    def intervene(self, request: Request) -> Intervention | None:
        """Return what happens to a request, None where it is passed on as always. Called once for each, in order.

        The request is whole; only where its body is longer than `max_content` it comes with what there is of it
        (`request.content.truncated`). Requests that are refused or that cannot be recorded are not asked about.
        """
