"""How an intervention is carried out, as far as both engines do it alike: heads, words, and what is recorded.

One rule: pure. What the upstream was asked, what it said and what the client was told all stay in the exchange.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from scimproxy.exchange import Content, Exchange, Failure, Headers, Phase, Request, Response, Rewrite, State
from scimproxy.passed import Passed
from scimproxy.proxy import answers
from scimproxy.proxy.engine import ANYWHERE, EngineOptions
from scimproxy.proxy.forwarding import end_to_end
from scimproxy.proxy.heads import given_to
from scimproxy.proxy.http1 import write_response_head
from scimproxy.proxy.intervention import Intervention
from scimproxy.proxy.passage import Passage

__all__ = [
    "AGAIN",
    "Directed",
    "Fit",
    "Fits",
    "altered",
    "asked_plainly",
    "cut_short",
    "directed",
    "fit",
    "fitted",
    "nobody",
    "too_long",
]

_BODILESS = (204, 304)
_STALE = ("content-digest", "repr-digest", "digest", "content-md5", "content-encoding")
_KEPT = 64 * 1024
"""Characters of an altered content that are recorded as the upstream sent them."""

RESET = struct.pack("ii", 1, 0)
"""The value of SO_LINGER with which a socket ends in a reset (RST): on, for no time."""

AGAIN = "delivered again by scimproxy; no client waits for it"


@dataclass(slots=True, kw_only=True)
class Directed(Passage):
    """A passage whose course may be decided by an intervention, and that tells why."""

    intervention: Intervention | None = None
    again: bool = False
    """Whether it is a second delivery."""
    wanted: bool = True
    """Whether it is recorded; what is not (hosts that a forward proxy leaves alone) is not interfered with."""

    def exchange(self, *, at: float, now_m: float, state: State = "complete") -> Exchange:
        """Return the exchange as it stands, with why it went as it did."""
        made = Passage.exchange(self, at=at, now_m=now_m, state=state)
        why = self.intervention
        if why is None:
            return made
        note = f"{why.note}: the second delivery" if why.note and self.again else why.note
        return replace(
            made,
            parent_id=why.parent_id,
            note=note,
            tags=why.tags,
            ended=AGAIN if self.again and state != "pending" else made.ended,
        )

    def passed(self, *, at: float, now_m: float) -> Passed | None:
        """Return the same, flat; None of a second delivery, which no client is told of."""
        why = self.intervention
        if self.again:
            return None
        made = Passage.passed(self, at=at, now_m=now_m)
        if made is not None and why is not None:
            made.parent_id, made.note, made.tags = why.parent_id, why.note, why.tags
        return made


def directed(passage: Passage) -> Directed:
    """Return the passage as one that can be directed: engines that have an intervener make no others."""
    assert isinstance(passage, Directed)
    return passage


def asked_plainly(headers: Headers) -> Headers:
    """Return the fields for the upstream such that its answer comes without content coding."""
    return headers.with_field("Accept-Encoding", "identity")


def fitted(response: Response, request: Request) -> Response:
    """Return an answer of ours as it can be sent: what speaks of one connection gone, its length told rightly."""
    data = response.content.data
    told = response.headers.get("content-length") if request.method == "HEAD" and not data else None
    headers = end_to_end(response.headers).without("content-length", "trailer")
    if response.status_code in _BODILESS:
        content = Content.of(b"")
    else:
        headers = headers.with_added("Content-Length", told or str(len(data)))
        content = Content.of(b"" if request.method == "HEAD" else data)
    reason = response.reason or answers.reason(response.status_code)
    return Response(response.status_code, reason, "1.1", headers, content)


@dataclass(frozen=True, slots=True)
class Fit:
    """An answer of ours (`of`) as one client gets it, the bytes of its head, and whether the connection ends then."""

    of: Response
    given: Response
    head: bytes
    close: bool


def fit(answer: Response, request: Request, *, close: bool) -> Fit:
    """Return an answer of ours as the client of this request gets it; `close`: the connection ends after it."""
    ready = fitted(answer, request)
    given, _, closes = given_to(ready, "none", request.http_version, close=close)
    head = write_response_head(given.status_code, given.reason, given.headers)
    return Fit(answer, replace(given, content=ready.content), head, closes)


_MOST_FITS = 2048
_LONGEST_FIT = 16 * 1024


class Fits:
    """Fits answers of ours to clients, and remembers how: a mock gives the same ones again and again.

    They are known by their identity, and kept, so that it stays theirs. Bounded in number and in size.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, bool, bool, bool], Fit] = {}

    def fit(self, answer: Response, request: Request, *, close: bool) -> Fit:
        """Do what `fit` does."""
        key = (id(answer), request.method == "HEAD", request.http_version == "1.0", close)
        known = self._known.get(key)
        if known is not None:
            return known
        made = fit(answer, request, close=close)
        if len(answer.content.data) <= _LONGEST_FIT:
            if len(self._known) >= _MOST_FITS:
                self._known.clear()
            self._known[key] = made
        return made


def altered(intervention: Intervention, came: Response, request: Request) -> tuple[Response, tuple[Rewrite, ...]]:
    """Return the answer that the client is given in place of the upstream's, and what of that was changed."""
    assert intervention.alter is not None
    changed = intervention.alter(came)
    if changed is came:
        return fitted(came, request), ()
    same = changed.content.data == came.content.data
    headers = changed.headers if same else changed.headers.without(*_STALE)
    rewrites = []
    if changed.status_code != came.status_code:
        rewrites.append(Rewrite("status", str(came.status_code), str(changed.status_code)))
    if not same:
        before = came.content.data[:_KEPT].decode("utf-8", "replace")
        rewrites.append(Rewrite("content", before, f"{len(changed.content.data)} bytes"))
    return fitted(replace(changed, headers=headers), request), tuple(rewrites)


def cut_short(intervention: Intervention, came: Response | None) -> Failure:
    """Return what is recorded where we reset the client's connection: before the upstream was asked, or after."""
    phase: Phase = "request" if came is None else "respond"
    when = "before the upstream was asked"
    if came is not None:
        when = f"after the upstream had answered {came.status_code}, which the client never saw"
    why = f" ({intervention.note})" if intervention.note else ""
    return Failure("closed", f"scimproxy reset the client's connection {when}{why}", phase, "proxy")


def too_long(options: EngineOptions) -> Failure:
    """Return what is recorded where an answer was to be altered and is longer than what is kept of one."""
    message = f"the answer is longer than {options.max_content} bytes, so it cannot be altered"
    return Failure("internal", message, "receive", "proxy")


def nobody(options: EngineOptions) -> Failure | None:
    """Return why nobody can be asked; None where there is an upstream."""
    if options.target is not ANYWHERE or options.forward is not None:
        return None
    return Failure("unreachable", "nothing here answers this request, and there is no upstream to ask", "connect")
