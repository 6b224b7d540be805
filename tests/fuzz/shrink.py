"""Makes a case that shows a problem smaller, while it goes on showing one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

from fuzz.case import Answer, Case

__all__ = ["shrink"]

MOST = 1500
"""So many tries, then the case is small enough."""


async def shrink(case: Case, shows: Callable[[Case], Awaitable[bool]]) -> Case:
    """Return a smaller case for which `shows` still holds."""
    tries = 0
    found = True
    while found:
        found = False
        for smaller in _smaller(case):
            tries += 1
            if tries > MOST:
                return case
            if await shows(smaller):
                case, found = smaller, True
                break
    return case


def _smaller(case: Case) -> Iterator[Case]:
    """Yield cases that are a little simpler: fewer answers, fewer pieces, fewer bytes."""
    for number in range(len(case.answers)):
        if len(case.answers) > 1:
            yield replace(case, answers=case.answers[:number] + case.answers[number + 1 :])
    if case.answers != (Answer(),):
        yield replace(case, answers=(Answer(),))
    if case.end != "stay":
        yield replace(case, end="stay")
    for pieces in _shorter(case.pieces):
        yield replace(case, pieces=pieces)
    for number, answer in enumerate(case.answers):
        for pieces in _shorter(answer.pieces):
            simpler = replace(answer, pieces=pieces)
            yield replace(case, answers=(*case.answers[:number], simpler, *case.answers[number + 1 :]))


def _shorter(pieces: tuple[bytes, ...]) -> Iterator[tuple[bytes, ...]]:
    for number in range(len(pieces) - 1):  # join two
        yield (*pieces[:number], pieces[number] + pieces[number + 1], *pieces[number + 2 :])
    for number, piece in enumerate(pieces):
        size = len(piece)
        while size:
            for start in range(0, len(piece), size):
                cut = piece[:start] + piece[start + size :]
                yield (*pieces[:number], *([cut] if cut else []), *pieces[number + 1 :])
            size //= 2
