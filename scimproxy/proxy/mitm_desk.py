"""What the layers of the mitmproxy engine need of the handler they live in: settings, clocks, notes, the recorder.

One rule: protocols only, so that the layers stay sans-io and a test can put something else in the handler's place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mitmproxy.proxy import events, layer
from mitmproxy.proxy.context import Context

from scimproxy.errors import ScimproxyError
from scimproxy.exchange import Response
from scimproxy.proxy.destinations import Route
from scimproxy.proxy.engine import EngineOptions, Target
from scimproxy.proxy.forwarding import Refusal
from scimproxy.proxy.mitm_details import Note
from scimproxy.proxy.mitm_events import ClientHead
from scimproxy.proxy.passage import Passage

if TYPE_CHECKING:
    from scimproxy.proxy.mitm_router import Router

__all__ = ["Commands", "Desk", "StreamDesk", "Watched"]

Commands = layer.CommandGenerator[None]


class Desk(Protocol):
    """What every layer needs."""

    options: EngineOptions
    router: Router | None
    """What is between the two ends at present; it says so itself."""

    def now(self) -> float:
        """Return monotonic seconds."""

    def moment(self) -> float:
        """Return Unix seconds."""

    def note(self, conn: object) -> Note:
        """Return the note on a connection, made at first sight."""

    def stream(self, context: Context, stream_id: int, tunnel: Target | None) -> layer.Layer:
        """Return the layer for one exchange; `tunnel` is where the CONNECT before it led."""

    def tunnel(self, context: Context, stream_id: int) -> layer.Layer:
        """Return the layer for a CONNECT."""

    def crashed(self, fault: Exception) -> None:
        """Tell that a layer raised."""

    @property
    def stopping(self) -> bool:
        """Whether the engine accepts nothing more, so that connections end after their answer."""


class Watched(Protocol):
    """A stream whose upstream is watched."""

    stream_id: int
    active_m: float
    request_done: bool


class StreamDesk(Desk, Protocol):
    """What a stream needs beyond what the sides need."""

    def route(self, head: ClientHead, tunnel: Target | None) -> Route:
        """Return where a request goes."""

    def begin(self, head: ClientHead, route: Route) -> Passage:
        """Open the passage of a request: it is in flight now, and announced as pending when it takes long."""

    def admit(self, passage: Passage, options: EngineOptions) -> str | Refusal | Response:
        """Return the target for the upstream, why there is none, or an answer of our own that is not recorded."""

    def refusing(self) -> ScimproxyError | None:
        """Return why nothing can be recorded right now."""

    def watch(self, stream: Watched) -> None:
        """Inject `TimedOut` when the stream's upstream does nothing for `response_timeout_s`."""

    def unwatch(self, stream: Watched) -> None:
        """Stop watching."""

    def later(self, delay_s: float, event: events.Event) -> None:
        """Inject an event after so long, unless the client's connection has ended by then."""

    def harden(self) -> None:
        """Let the client's connection end with a reset (RST)."""

    async def record(self, passage: Passage) -> ScimproxyError | None:
        """Record the passage's end; returns once it is committed, or why the answer must not be released."""

    async def opened(self, passage: Passage) -> ScimproxyError | None:
        """Record that the passage goes on behind its answer's head; returns as `record`."""

    def forget(self, passage: Passage) -> None:
        """The passage ends without being recorded."""
