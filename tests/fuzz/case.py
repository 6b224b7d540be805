"""One case of the fuzzer: what a client sends, in which pieces, and what a scripted upstream answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["OK", "ROOMS", "Answer", "Case", "Room"]

Room = Literal["plain", "tiny", "based"]
ROOMS: tuple[Room, ...] = ("plain", "tiny", "based")
"""Settings of an engine: its defaults; bodies streamed after 8 bytes and kept to 64; a base path, rewriting, and Host kept."""

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True)
class Answer:
    """What the upstream gives to one request; `early`: as soon as the head is there."""

    pieces: tuple[bytes, ...] = (OK,)
    close: bool = False
    early: bool = False


@dataclass(frozen=True)
class Case:
    """The bytes of a client in pieces, how it ends, and the answers (the last one again and again).

    `paced`: each piece is read before the next is sent. `end`: the client stays, closes its sending half, or goes.
    `room`: with which settings the engines run.
    """

    pieces: tuple[bytes, ...]
    answers: tuple[Answer, ...] = (Answer(),)
    paced: bool = True
    end: Literal["stay", "half", "go"] = "stay"
    room: Room = "plain"

    @property
    def sent(self) -> bytes:
        """All bytes of the client."""
        return b"".join(self.pieces)
