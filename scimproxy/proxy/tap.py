"""What is kept of a body as its pieces pass: the first bytes, size and hash of all, and where secrets may be.

One rule: who passes a big body on is not held up by it. Its pieces are hashed, and looked through for secrets, by a
thread beside the event loop, a little behind; where that is too far behind, the one who feeds does the work, so that
little waits at any time. What is kept is written once and given away as it lies. Pure but for that thread.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from io import BytesIO
from queue import SimpleQueue

from scimproxy.exchange import EMPTY, Content, unhashed
from scimproxy.secret_bodies import Look

__all__ = ["Tap"]

_AT_ONCE = 256 * 1024
"""So much of a body is hashed as it comes: waking a thread for it would cost more."""
_BEHIND = 256 * 1024
"""So many bytes wait before the thread is asked."""
_MOST_BEHIND = 1024 * 1024
"""When more bytes than this wait, the one who feeds hashes them."""

_RESERVED = 64 * 1024 * 1024


class Tap:
    """Takes the pieces of a body as they pass: keeps at most `limit` bytes, but size and hash of all.

    Most bodies come in one piece, which is kept as it is and hashed once, at the end.
    """

    __slots__ = ("_limit", "_many", "_only", "size")

    def __init__(self, limit: int) -> None:
        self._only = b""
        self._many: _Many | None = None
        self._limit = limit
        self.size = 0

    def feed(self, piece: bytes) -> None:
        """Take the next piece."""
        many = self._many
        if many is not None:
            many.feed(piece)
        elif not self.size and len(piece) <= self._limit:
            self._only = piece
        else:
            self._many = many = _Many(self._limit)
            first, self._only = self._only, b""
            many.feed(first)
            many.feed(piece)
        self.size += len(piece)

    @property
    def whole(self) -> bool:
        """Whether everything that passed is kept."""
        return self.size <= self._limit

    def content(self, most: int | None = None) -> Content:
        """Return what has passed so far, and at most so many bytes of it."""
        if not self.size:
            return EMPTY
        if self._many is not None:
            return Content(self._many.kept(most), self.size, self._many.sha256())
        return Content(self._only[:most], self.size, hashlib.sha256(self._only).hexdigest())

    def unhashed(self) -> Content:
        """Return what has passed, and leave the hash of what came in one piece for later."""
        if not self.size:
            return EMPTY
        return self.content() if self._many is not None else unhashed(self._only)


class _Many:
    """A body of many pieces. One thread feeds it; who holds the lock hashes what waits."""

    __slots__ = ("_asked", "_done", "_fed", "_hash", "_kept", "_lock", "_look", "_room", "_waiting")

    def __init__(self, limit: int) -> None:
        self._hash = hashlib.sha256()
        # Memory that is not touched costs nothing: there is no need to grow, and to be copied while growing.
        self._kept = BytesIO(bytes(limit) if limit <= _RESERVED else b"")
        self._look = Look()
        self._room = limit
        self._fed = self._done = 0
        self._asked = False
        self._lock = threading.Lock()
        self._waiting: deque[tuple[bytes, int]] = deque()

    def feed(self, piece: bytes) -> None:
        part = min(self._room, len(piece))
        if part:
            self._room -= part
            self._kept.write(memoryview(piece)[:part])
        self._waiting.append((piece, part))
        self._fed += len(piece)
        behind = self._fed - self._done
        if self._fed < _AT_ONCE or behind > _MOST_BEHIND:
            self.catch_up()
        elif behind > _BEHIND and not self._asked:
            self._asked = True
            _ask(self)

    def catch_up(self) -> None:
        """Hash what waits; in whichever thread, but in order."""
        self._asked = False
        with self._lock:
            while self._waiting:
                piece, part = self._waiting.popleft()
                self._hash.update(piece)  # other threads run meanwhile
                if part:
                    self._look.feed(piece[:part])
                self._done += len(piece)

    def kept(self, most: int | None) -> bytes:
        size = self._kept.tell()
        if most is not None and most < size:
            with self._kept.getbuffer() as view:
                return bytes(view[:most])
        self.catch_up()
        self._kept.truncate(size)
        data = self._kept.getvalue()  # no copy: the buffer itself, unless more is written
        self._look.remember(data)
        return data

    def sha256(self) -> str:
        self.catch_up()
        return self._hash.hexdigest()


_asked: SimpleQueue[_Many] = SimpleQueue()
_threads: list[threading.Thread] = []


def _ask(body: _Many) -> None:
    """Have a body hashed in the thread that does this for all."""
    if not _threads:
        _threads.append(threading.Thread(target=_hash, name="scimproxy-hashes", daemon=True))
        _threads[0].start()
    _asked.put(body)


def _hash() -> None:
    while True:
        body: _Many | None = _asked.get()
        assert body is not None
        body.catch_up()
        body = None  # it may be big, and the next one may be long in coming
