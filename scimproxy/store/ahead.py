"""The ahead file of a recording: what was answered stands there before it is in the database, and always gets there.

One rule: an exchange that stands here is recorded. It outlives the end of every process (not a power cut: nothing
here waits for the disk). The writer puts it into the database in one transaction with the number of its entry, so
that it is there once, whoever died in between. An engine appends (`Ahead`), its writing process reads on (`Tail`).
Both hold a shared lock on the file: one that nobody holds is of a recording that died, and bringing.py takes it
over. Two segments are used in turn; one is written over only after all in it is in the database.

The file has all its bytes from the beginning, so that a full disk takes nothing from what is written later. It is
read and written by calls that report errors, not mapped into memory. In the flow: apart.py -> here -> following.py.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
import struct
import sys
from pathlib import Path
from typing import Any, NamedTuple

from scimproxy import __version__
from scimproxy.amounts import plural
from scimproxy.store.entries import HEAD, SHAPE, Packer, Unpacker, checksum, head_of, sealed

if sys.platform != "win32":  # where recordings have no writing process, and so no such file
    import fcntl

__all__ = [
    "BEFORE",
    "Ahead",
    "Tail",
    "Taken",
    "create",
    "files_beside",
    "follow",
    "is_being_brought_in",
    "left_there",
    "path_of",
    "remove_unfinished",
    "set_aside",
    "take_over",
]

_MAGIC = b"scimproxy ahead2"
_START = struct.Struct("<16sQQQQ32s")
"""The file's first bytes: what it is, what its entries look like, the secret of their checksums, the database that it
belongs to, a number of its own, which version of scimproxy made it."""
_FIRST = 4096
"""Where the segments begin."""
_SEGMENT = 2 * 1024 * 1024
_BIGGEST = 256 * 1024
"""An entry of more bytes is not taken: what is big goes through the socket."""
_PIECE = 64 * 1024
_SPARE = 32 * 1024 * 1024
"""So much has to be free on the disk beside the file, or there is none: the database needs it more."""
BEFORE = "ahead-"
"""How its name begins behind that of the database, and the name of its line in the table `progress`."""
_NEW = ".new"
_FAR = 32
"""So many entries may be damaged before one that shows that there were some."""
_TOKEN = 12
"""So many digits of its own number its name ends with: a copy with another name is none of ours."""
_STARTS = (_FIRST, _FIRST + _SEGMENT)


class Ahead:
    """The engine's end: appends, and knows how far the writer is. `number` is the last entry's."""

    def __init__(self, path: Path, fd: int, secret: int) -> None:
        self.path = path
        self._fd = fd
        self._secret = secret
        self._packer = Packer()
        self._segment = 0
        self._at, self._end = _FIRST, _FIRST + _SEGMENT
        self._last = [0, 0]  # the number of the last entry in each segment
        self._is_full = False
        self.number = 0
        self.applied = 0

    @classmethod
    def open(cls, path: Path) -> Ahead | None:
        """Open the file that a writer has just made; None where that is not possible."""
        found = _opened(path, os.O_RDWR, alone=False)
        return None if found is None else cls(path, found[0], found[1].secret)

    def append(self, loose: list[Any]) -> bool:
        """Have a row stand there; False where there is no room for it now. The row is not changed.

        Raises:
            ValueError: or TypeError, OverflowError: a value that fits no column.
        """
        if self._is_full and not self._turn():
            return False
        data = self._packer.pack(loose)
        if len(data) > _BIGGEST:
            self._packer.forget()  # what it told of stands nowhere
            return False
        if self._at + HEAD.size + len(data) > self._end:
            self._is_full = True
            if not self._turn():
                self._packer.forget()
                return False
            data = self._packer.pack(loose)  # in a segment of its own it has to stand by itself
        entry = sealed(self.number + 1, data, self._secret)
        try:
            written = os.pwrite(self._fd, entry, self._at)
        except OSError:  # a file system that wants room for what has its room: nothing but the socket is left
            written = 0
        if written != len(entry):
            self._packer.forget()
            if written:  # so that nobody takes it for one that was answered
                with contextlib.suppress(OSError):
                    os.pwrite(self._fd, bytes(HEAD.size), self._at)
            return False
        self._at += written
        self.number += 1
        self._last[self._segment] = self.number
        return True

    def _turn(self) -> bool:
        """Go on with the other segment, where all in it is in the database."""
        other = 1 - self._segment
        if self._last[other] > self.applied:
            return False
        self._segment = other
        self._at = _FIRST + other * _SEGMENT
        self._end = self._at + _SEGMENT
        self._packer.forget()
        self._is_full = False
        return True

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)


class Tail:
    """The reader's end: gives the entries after `applied`, in order. `number` is the last one read.

    `name` is that of the line in `progress` that says how far the database has them.
    """

    def __init__(self, fd: int, secret: int, name: str, applied: int) -> None:
        self.name = name
        self._fd = fd
        self._secret = secret
        self._after = applied
        self._unpacker = Unpacker()
        self._buffer = b""
        self._from = 0  # where in the file the buffer begins
        # The segment that the next entry is in: it is not written over while that is not in the database.
        starts = [(number, at) for at in _STARTS if (number := self._first_number(at)) is not None]
        first, self._at = max((it for it in starts if it[0] <= applied + 1), default=(applied + 1, _FIRST))
        self.number = first - 1

    def again(self, applied: int) -> Tail:
        """Return one that begins anew, after another entry."""
        return Tail(self._fd, self._secret, self.name, applied)

    def read(self, upto: int | None, most: int, size: int) -> list[tuple[int, list[Any]]]:
        """Return numbers and rows of what comes next: up to a number, at most so many, of about so many bytes."""
        found: list[tuple[int, list[Any]]] = []
        self._buffer = b""  # what was read before the engine had written it
        while len(found) < most and size > 0 and (upto is None or self.number < upto):
            entry = self._entry(self._at, self.number + 1)
            if entry is None:
                self.number = max(self.number, self._after)
                entry = self._elsewhere()
                if entry is None:
                    break
            try:
                row = self._unpacker.unpack(entry)
            except ValueError:
                break
            self.number += 1
            self._at += HEAD.size + len(entry)
            if self.number > self._after:  # else it is read for what it tells of later ones
                size -= len(entry)
                found.append((self.number, row))
        return found

    def skip(self) -> int:
        """Go on with a segment that begins behind what cannot be read; return how many entries that passes over."""
        for at in _STARTS:
            number = self._first_number(at)
            if number is not None and number > self.number + 1:
                missing = number - self.number - 1
                self.number, self._at, self._unpacker = number - 1, at, Unpacker()
                return missing
        return 0

    def standing(self) -> int:
        """Return the number of the newest entry that can be read there."""
        self._buffer = b""
        newest = max(_STARTS, key=lambda at: self._first_number(at) or 0)
        return self._walk(newest)[1]

    def unread(self) -> int:
        """Return how many entries stand there behind the last one read, whole or damaged: at least so many, or 0."""
        self._buffer = b""
        read = newest = max(self.number, self._after)
        for at in _STARTS:
            place, number = self._walk(at)
            newest = max(newest, number)
            room = at + _SEGMENT - place
            rest = bytes(self._bytes(place, room))
            if len(rest) < room or (number == 0 and any(rest[: HEAD.size]) and not 0 < head_of(rest, 0)[2] <= read):
                newest = max(newest, read + 1)  # the file was cut, or its disk fails; or what a segment begins with
            elif number >= read and self._is_begun(place, number + 1):
                newest = max(newest, number + 1)
            rest = rest.rstrip(b"\0") + bytes(HEAD.size)
            for wanted in range(read + 1, read + _FAR):
                inside = rest.find(struct.pack("<Q", wanted)) - (HEAD.size - 8)
                if inside >= 0 and self._entry(place + inside, wanted) is not None:
                    newest = max(newest, self._walk(place + inside)[1])
                    break
        return newest - read

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    def _walk(self, at: int) -> tuple[int, int]:
        """Return the place behind the whole entries that begin at one, and the last one's number; 0: none."""
        first = self._first_number(at)
        if first is None:
            return at, 0
        number = first
        while (entry := self._entry(at, number)) is not None:
            at += HEAD.size + len(entry)
            number += 1
        return at, number - 1

    def _is_begun(self, at: int, number: int) -> bool:
        """Whether something at a place looks as an entry does of which a few bits have changed."""
        end = _end_of(at)
        head = self._bytes(at, HEAD.size)
        if at + HEAD.size > end or len(head) < HEAD.size:
            return False
        length, told, found = head_of(head, 0)
        if not 0 < length <= end - at - HEAD.size:
            return found == number
        return found == number or checksum(number, self._bytes(at + HEAD.size, length), self._secret) == told

    def _elsewhere(self) -> memoryview | None:
        """Return the next entry where it begins a segment."""
        for at in _STARTS:
            entry = self._entry(at, self.number + 1) if at != self._at else None
            if entry is not None:
                self._at, self._unpacker = at, Unpacker()
                return entry
        return None

    def _entry(self, at: int, number: int) -> memoryview | None:
        """Return what stands in the entry at a place; None where it is not there or not whole."""
        end = _end_of(at)
        head = self._bytes(at, HEAD.size)
        if at + HEAD.size > end or len(head) < HEAD.size:
            return None
        length, told, found = head_of(head, 0)
        if found != number or not 0 < length <= end - at - HEAD.size:
            return None
        data = self._bytes(at + HEAD.size, length)
        return data if checksum(number, data, self._secret) == told else None

    def _first_number(self, at: int) -> int | None:
        """Return the number of the whole entry that a segment begins with."""
        head = self._bytes(at, HEAD.size)
        if len(head) < HEAD.size:
            return None
        number = head_of(head, 0)[2]
        return None if self._entry(at, number) is None else number

    def _bytes(self, at: int, size: int) -> memoryview:
        """Return bytes of the file, which is read in pieces; fewer at its end."""
        inside = at - self._from
        if inside < 0 or inside + size > len(self._buffer):
            try:
                self._buffer = os.pread(self._fd, max(size, _PIECE), at)
            except OSError:  # its disk fails: as if it ended there
                self._buffer = b""
            self._from, inside = at, 0
        return memoryview(self._buffer)[inside : inside + size]


def _end_of(at: int) -> int:
    """Return where the segment ends that a place is in."""
    return _STARTS[at >= _STARTS[1]] + _SEGMENT


class _Start(NamedTuple):
    shape: int
    secret: int
    identity: int
    number: int
    version: str

    @property
    def name(self) -> str:
        return f"{BEFORE}{self.number:016x}"

    def packed(self) -> bytes:
        return _START.pack(_MAGIC, self.shape, self.secret, self.identity, self.number, self.version.encode())


class Taken(NamedTuple):
    """A file that was taken over. `identity` is that of the database it belongs to.

    `strange`: why nothing of it is to be read, where that is so.
    """

    tail: Tail
    identity: int
    strange: str | None


def create(db: Path, identity: int) -> tuple[Path, Tail] | None:
    """Make an empty ahead file beside a database; None where the place has no room for it, or cannot hold one.

    Nor is there one in a folder that cannot be listed: it would not be found again.

    It is there whole from one moment to the next: who looks for files without an owner never sees it half made.
    """
    if sys.platform == "win32":
        return None
    real = Path(os.path.realpath(db))
    start = _Start(SHAPE, secrets.randbits(32), identity, secrets.randbits(64), __version__)
    path = path_of(real, start.name)
    new = path.with_name(path.name + _NEW)
    try:
        place = os.statvfs(real.parent)
        if place.f_bavail * place.f_frsize < _SPARE:
            return None
        files_beside(real)
        fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            _fill(fd)
            os.pwrite(fd, start.packed(), 0)
            new.rename(path)
        except BaseException:
            os.close(fd)
            with contextlib.suppress(OSError):
                new.unlink()
            raise
    except OSError:
        return None
    return path, Tail(fd, start.secret, start.name, 0)


def _fill(fd: int) -> None:
    size = _FIRST + 2 * _SEGMENT
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size)
    else:  # pragma: no cover - macOS
        for at in range(0, size, _PIECE):
            os.pwrite(fd, bytes(min(_PIECE, size - at)), at)


def follow(path: Path) -> Tail | None:
    """Open a file for reading beside its engine, from its beginning; None where that is not possible."""
    found = _opened(path, os.O_RDONLY, alone=False)
    return None if found is None else Tail(found[0], found[1].secret, found[1].name, 0)


def take_over(path: Path) -> Taken | None:
    """Open a file whose recording died, for nobody else; None where it lives."""
    found = _opened(path, os.O_RDWR, os.O_RDONLY, alone=True, known=False)
    if found is None:
        return None
    fd, start = found
    strange = None
    if start.shape != SHAPE:
        strange = (
            f"was written by scimproxy {start.version} in a way that {__version__} does not read;"
            " open the database with that version once"
        )
    elif path_of(path, start.name).name[-_TOKEN:] != path.name[-_TOKEN:]:
        strange = "is a copy of another file, by its name; it is left alone"
    return Taken(Tail(fd, start.secret, start.name, 0), start.identity, strange)


def is_being_brought_in(path: Path) -> bool:
    """Whether somebody has taken the file over, and is not done with it."""
    if sys.platform == "win32":
        return False
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
    return False


def files_beside(db: Path) -> list[Path]:
    """Return the ahead files of a database, whoever they belong to.

    Raises:
        OSError: its folder cannot be listed; nobody knows then which there are.
    """
    real = Path(os.path.realpath(db))
    named = re.compile(re.escape(f"{real.name}-{BEFORE}") + f"[0-9a-f]{{{_TOKEN}}}")
    with os.scandir(real.parent) as entries:
        return sorted(real.with_name(it.name) for it in entries if named.fullmatch(it.name))


def remove_unfinished(db: Path) -> None:
    """Remove what is left of files whose makers died before they had their names."""
    if sys.platform == "win32":
        return
    real = Path(os.path.realpath(db))
    named = re.compile(re.escape(f"{real.name}-{BEFORE}") + f"[0-9a-f]{{{_TOKEN}}}{re.escape(_NEW)}")
    with contextlib.suppress(OSError), os.scandir(real.parent) as entries:
        for path in [real.with_name(it.name) for it in entries if named.fullmatch(it.name)]:
            with contextlib.suppress(OSError):
                fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # its maker holds it from its first moment
                    path.unlink()
                finally:
                    os.close(fd)


def path_of(db: Path, name: str) -> Path:
    """Return where the file lies that has this line in the table `progress`."""
    real = Path(os.path.realpath(db))
    return real.with_name(f"{real.name}-{name[: len(BEFORE) + _TOKEN]}")


def set_aside(path: Path, *, copied: bool = False) -> Path:
    """Give a file a name under which nobody brings it in, for a person to look at; `copied`: a copy of it.

    Raises:
        OSError: that is not possible.
    """
    aside = path.with_name(f"{path.name}-damaged-{secrets.token_hex(3)}")
    if copied:
        with contextlib.closing(os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")) as file:
            file.write(path.read_bytes())
    else:
        path.rename(aside)
    return aside


def left_there(count: int, path: Path) -> str:
    """Say how much of a file is not in the database."""
    return f"not in the database yet: {plural(count, 'exchange')} in {path}; opening the database brings them in"


def _opened(path: Path, *flags: int, alone: bool, known: bool = True) -> tuple[int, _Start] | None:
    """Return descriptor and start of a file, locked; None where that is not possible.

    `known`: only one whose entries look as those of this version do.
    """
    if sys.platform == "win32":
        return None
    for flag in flags:
        with contextlib.suppress(OSError):
            fd = os.open(path, flag | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            break
    else:
        return None
    try:
        fcntl.flock(fd, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        about = os.fstat(fd)
        start = os.pread(fd, _START.size, 0) if stat.S_ISREG(about.st_mode) and about.st_nlink else b""
        if len(start) == _START.size:
            magic, shape, secret, identity, number, version = _START.unpack(start)
            if magic == _MAGIC and (shape == SHAPE or not known):
                wrote = ascii(version.rstrip(b"\0").decode("ascii", "replace"))[1:-1]
                return fd, _Start(shape, secret & 0xFFFFFFFF, identity, number, wrote)
    except OSError:  # somebody else holds it
        pass
    os.close(fd)
    return None
