"""WebSocket in the mitmproxy engine: the handshake told from other upgrades, and a log of the messages that pass.

One rule: a listener, not a party. The bytes pass untouched; what is read here is a copy, and where it cannot be read
(an extension that we do not know, broken frames) the log says so and the connection goes on.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Literal

from wsproto.extensions import Extension, PerMessageDeflate
from wsproto.frame_protocol import CloseReason, Frame, FrameProtocol, Opcode, ParseFailed

from scimproxy.exchange import Headers
from scimproxy.proxy.forwarding import Tap

__all__ = ["MessageLog"]

Side = Literal["client", "upstream"]


class MessageLog:
    """The messages of one WebSocket as lines of JSON, in the order in which they passed; `tap` takes the lines.

    A line has `at` (ISO 8601), `from` (client or upstream), `type` (text, binary, ping, pong, close), `size` (bytes)
    and the message itself: `json` where it is JSON, so that secrets are found in it, else `text`, or `base64` where
    it is no text. Of a message longer than `limit` bytes nothing but its size is kept.
    """

    def __init__(self, answer: Headers, tap: Tap, limit: int, moment: Callable[[], float]) -> None:
        self._tap = tap
        self._limit = limit
        self._moment = moment
        extensions = answer.get("sec-websocket-extensions") or ""
        # A client masks what it sends (RFC 6455 section 5.3): its frames are read as a server reads them.
        self._readers: dict[Side, _Reader] = {}
        try:
            self._readers["client"] = _Reader(extensions, as_client=False)
            self._readers["upstream"] = _Reader(extensions, as_client=True)
        except ValueError as exc:
            self._readers.clear()
            self._line("upstream", "unreadable", 0, {"text": f"no message can be read: {exc}"})

    def feed(self, side: Side, data: bytes) -> None:
        """Read what passed from one side."""
        reader = self._readers.get(side)
        if reader is None or reader.blind:
            return
        try:
            for frame in reader.frames(data):
                self._frame(side, reader, frame)
        except (ParseFailed, ValueError, KeyError) as exc:
            reader.blind = True
            self._line(side, "unreadable", 0, {"text": f"what follows from here cannot be read: {exc}"})

    def _frame(self, side: Side, reader: _Reader, frame: Frame) -> None:
        if frame.opcode in {Opcode.PING, Opcode.PONG}:
            data = _bytes(frame.payload)
            self._line(side, frame.opcode.name.lower(), len(data), _shown(data))
        elif frame.opcode is Opcode.CLOSE:
            assert isinstance(frame.payload, tuple)
            code, reason = frame.payload
            told: dict[str, object] = {"code": int(code), "text": reason}
            self._line(side, "close", len(reason.encode()) + 2, {} if code == _NO_CODE else told)
        else:
            self._piece(side, reader, frame)

    def _piece(self, side: Side, reader: _Reader, frame: Frame) -> None:
        data = _bytes(frame.payload)
        reader.kind = "text" if frame.opcode is Opcode.TEXT else "binary"  # also of a continuation
        reader.size += len(data)
        if reader.size <= self._limit:
            reader.pieces += data
        else:
            reader.pieces.clear()
        if frame.message_finished:
            whole = reader.size <= self._limit
            told: dict[str, object] = _shown(bytes(reader.pieces)) if whole else {"cut": True}
            self._line(side, reader.kind, reader.size, told)
            reader.size = 0
            reader.pieces.clear()

    def _line(self, side: Side, kind: str, size: int, told: dict[str, object]) -> None:
        at = datetime.fromtimestamp(self._moment(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        head = {"at": at, "from": side, "type": kind, "size": size}
        raw = told.pop("json", None)
        text = json.dumps(head | told, ensure_ascii=False)
        if raw is not None:
            text = f'{text[:-1]}, "json": {raw}}}'
        self._tap.feed(text.encode("utf-8", "surrogatepass") + b"\n")


_NO_CODE = CloseReason.NO_STATUS_RCVD


def _bytes(payload: bytes | bytearray | str | tuple[int, str]) -> bytes:
    """Return a frame's payload as it travelled."""
    assert not isinstance(payload, tuple)
    return payload.encode() if isinstance(payload, str) else bytes(payload)


def _shown(data: bytes) -> dict[str, object]:
    """Return a message in the most readable form; JSON stays as it came, on one line."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}
    if text.lstrip()[:1] in {"{", "["}:
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return {"text": text}
        return {"json": text.strip().replace("\r", " ").replace("\n", " ")}
    return {"text": text}


class _Reader:
    """Reads the frames of one side; after something unreadable it is blind."""

    def __init__(self, extensions: str, *, as_client: bool) -> None:
        self.blind = False
        self.kind = "text"
        self.size = 0
        self.pieces = bytearray()
        used: list[Extension] = []
        if extensions.strip():
            deflate = PerMessageDeflate()
            # As the client of this handshake, our reader knows which side's windows the answer speaks of.
            deflate.finalize(extensions)
            if extensions.partition(";")[0].strip() != deflate.name:
                raise ValueError(f"the extension {extensions!r} is not known")
            used = [deflate]
        self._protocol = FrameProtocol(as_client, used)

    def frames(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that are there now; those before a broken one come, too."""
        self._protocol.receive_bytes(data)
        yield from self._protocol.received_frames()
