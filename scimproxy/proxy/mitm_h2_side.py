"""What the two ends of HTTP/2 have in common: `h2` with bounded windows, and a side that reads, writes and settles.

One rule: a peer may send only as much as the other end takes. What came is given back by `settle`, never at once.
"""

from __future__ import annotations

from collections.abc import Callable

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from hyperframe.frame import Frame, GoAwayFrame
from mitmproxy.connection import ConnectionState
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http._base import HttpConnection, HttpEvent
from mitmproxy.proxy.layers.http._http_h2 import BufferedH2Connection

from scimproxy.exchange import Headers
from scimproxy.proxy.h2_heads import lowered
from scimproxy.proxy.mitm_desk import Commands, Desk
from scimproxy.proxy.mitm_events import ClientSilent

__all__ = ["MAX_STREAMS", "H2Side"]

STREAM_WINDOW = 1024 * 1024
CONNECTION_WINDOW = 4 * 1024 * 1024
MAX_HEAD = 64 * 1024
MAX_STREAMS = 100


class Wire(BufferedH2Connection):
    """mitmproxy's buffering connection with windows that are bounded, and a GOAWAY that lets streams end."""

    def __init__(self, config: h2.config.H2Configuration) -> None:
        super().__init__(config)
        self.local_settings.initial_window_size = STREAM_WINDOW
        self.local_settings.max_concurrent_streams = MAX_STREAMS
        self.local_settings.max_header_list_size = MAX_HEAD
        self.local_settings.enable_push = 0
        self.local_settings.acknowledge()

    def initiate_connection(self) -> None:
        """Send the preface and our settings."""
        h2.connection.H2Connection.initiate_connection(self)
        self.increment_flow_control_window(CONNECTION_WINDOW - self.inbound_flow_control_window)

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[h2.events.Event]]:
        """Tell of a GOAWAY; h2 itself takes the connection for closed, though streams may end (RFC 9113 6.8)."""
        if frame.error_code != h2.errors.ErrorCodes.NO_ERROR:
            return super()._receive_goaway_frame(frame)
        told = h2.events.ConnectionTerminated()
        told.error_code, told.last_stream_id = h2.errors.ErrorCodes.NO_ERROR, frame.last_stream_id
        return [], [told]

    def held(self, stream_id: int) -> int:
        """Return how many bytes of a stream wait for the peer to take them."""
        return sum(len(piece.data) for piece in self.stream_buffers.get(stream_id, ()))


class H2Side(HttpConnection):
    """What both ends have in common: reading frames, giving windows back, writing what is due."""

    def __init__(self, context: Context, conn: object, desk: Desk, *, client_side: bool) -> None:
        super().__init__(context, conn)  # type: ignore[arg-type]  # Client or Server, both are Connections
        self.desk = desk
        config = h2.config.H2Configuration(client_side=client_side, header_encoding=None)
        self.wire = Wire(config)
        self.owed: dict[int, int] = {}
        """Bytes received and not given back, by our name for the stream."""
        self.active_m = desk.now()
        self.over = False
        self._ended_out: set[int] = set()

    def open(self) -> Commands:
        """Begin to speak."""
        self.desk.note(self.conn).http_version = "2"
        self.wire.initiate_connection()
        yield from self._flush()

    def held(self, stream_id: int) -> int:
        """Return how many bytes of a stream wait for the peer to take them."""
        named = self.named(stream_id)
        return 0 if self.over or named is None else self.wire.held(named)

    def named(self, stream_id: int) -> int | None:
        """Return the wire's name of one of our streams."""
        raise NotImplementedError

    def settle(self, takes: Callable[[int], bool]) -> Commands:
        """Give windows back for those streams whose other end takes what came."""
        for stream_id, size in list(self.owed.items()):
            if takes(stream_id):
                del self.owed[stream_id]
                self._acknowledge(self.named(stream_id), size)
        yield from self._flush()

    def _acknowledge(self, named: int | None, size: int) -> None:
        if not self.over and size:
            # A stream that is gone still gave its share of the connection's window: any number will do.
            self.wire.acknowledge_received_data(size, named or 1)

    def _flush(self) -> Commands:
        data = self.wire.data_to_send()
        if data and self.conn.state & ConnectionState.CAN_WRITE:
            yield commands.SendData(self.conn, data)

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, HttpEvent):
            yield from self._http(event)
        elif isinstance(event, events.DataReceived):
            self.active_m = self.desk.now()
            yield from self._data(event.data)
        elif isinstance(event, events.ConnectionClosed):
            yield from self._closed()
        elif isinstance(event, ClientSilent):
            yield from self._silent()

    def _data(self, data: bytes) -> Commands:
        if not self.over:
            yield from self._read(data)

    def _read(self, data: bytes) -> Commands:
        try:
            frames = self.wire.receive_data(data)
        except (h2.exceptions.ProtocolError, ValueError, IndexError) as exc:  # the latter two: malformed HPACK
            yield from self._flush()  # h2 has written GOAWAY
            yield from self._broken(str(exc) or type(exc).__name__)
            return
        yield from self._flush()
        for frame in frames:
            if not self.over:
                yield from self._frame(frame)
        yield from self._flush()

    def _writable(self, named: int) -> bool:
        """Whether a stream may still be written to."""
        stream = self.wire.streams.get(named)
        return not self.over and stream is not None and not stream.closed and named not in self._ended_out

    def _write(self, named: int, data: bytes, trailers: Headers | None, *, last: bool) -> None:
        if data:
            self.wire.send_data(named, data)
        if not last:
            return
        self._ended_out.add(named)
        if trailers is not None and len(trailers):
            self.wire.send_trailers(named, list(lowered(trailers).raw()))
        else:
            self.wire.end_stream(named)

    def _reset(self, named: int, code: h2.errors.ErrorCodes) -> None:
        stream = self.wire.streams.get(named)
        if not self.over and stream is not None and not stream.closed:
            self.wire.reset_stream(named, code)

    def _close(self, reason: str) -> Commands:
        self.over = True
        self.owed.clear()
        note = self.desk.note(self.conn)
        note.close_reason = note.close_reason or reason
        if self.conn.state is not ConnectionState.CLOSED:
            yield commands.CloseConnection(self.conn)

    def _http(self, event: HttpEvent) -> Commands:
        raise NotImplementedError

    def _frame(self, frame: h2.events.Event) -> Commands:
        raise NotImplementedError

    def _broken(self, problem: str) -> Commands:
        raise NotImplementedError

    def _closed(self) -> Commands:
        raise NotImplementedError

    def _silent(self) -> Commands:
        yield from ()
