"""Makes cases out of seeds: the same number gives the same case, always."""

from __future__ import annotations

import itertools
import random
from typing import Any

from fuzz.case import ROOMS, Answer, Case
from fuzz.seeds import ANSWERS, HONEST_ANSWERS, HONEST_REQUESTS, REQUESTS, SNIPPETS

__all__ = ["make_case", "seed_cases"]


def seed_cases() -> list[Case]:
    """Return every seed as it stands: each request with an honest answer, each answer to GET and HEAD, twice each."""
    follower = b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n"
    cases = []
    for request in REQUESTS:
        cases += [
            Case((request,)),
            Case((request + follower,)),
            Case((request, follower)),
            Case((request,), end="half"),
        ]
    for answer in ANSWERS:
        for first in (HONEST_REQUESTS[0], HONEST_REQUESTS[4], HONEST_REQUESTS[9], HONEST_REQUESTS[14]):
            for close in (False, True):
                cases.append(Case((first, follower), (Answer((answer,), close), Answer())))
    return cases


def make_case(seed: int) -> Case:
    """Return the case of this number."""
    dice = random.Random(seed)
    hostile_answer = dice.random() < 0.35
    pool = HONEST_REQUESTS if hostile_answer and dice.random() < 0.7 else REQUESTS
    requests = [dice.choice(pool) for _ in range(dice.choice((1, 1, 1, 2, 2, 3)))]
    if pool is REQUESTS:
        requests = [_mutated(dice, one) if dice.random() < 0.75 else one for one in requests]
    data = b"".join(requests)
    if dice.random() < 0.1:
        data = data[: dice.randrange(len(data) + 1)]
    answers = tuple(_answer(dice, hostile=hostile_answer) for _ in range(dice.choice((1, 1, 2, 3))))
    if not hostile_answer and dice.random() < 0.5:
        answers = (Answer(),)
    return Case(
        pieces=_cut(dice, data),
        answers=answers,
        paced=dice.random() < 0.8,
        end=dice.choices(("stay", "half", "go"), (80, 12, 8))[0],  # type: ignore[arg-type]
        room=dice.choices(ROOMS, (50, 25, 25))[0],
    )


def _answer(dice: random.Random, *, hostile: bool) -> Answer:
    data = dice.choice(ANSWERS if hostile else HONEST_ANSWERS)
    if hostile and dice.random() < 0.7:
        data = _mutated(dice, data)
    close = dice.random() < (0.4 if hostile else 0.1)
    return Answer(_cut(dice, data), close, early=dice.random() < 0.08)


def _cut(dice: random.Random, data: bytes) -> tuple[bytes, ...]:
    """Cut into pieces: mostly none or few, near line ends by preference; sometimes byte by byte."""
    kind = dice.random()
    if kind < 0.4 or len(data) < 2:
        return (data,) if data else ()
    if kind < 0.43 and len(data) < 120:
        return tuple(bytes([byte]) for byte in data)
    ends = [at + shift for at, byte in enumerate(data[:5000]) if byte in b"\r\n" for shift in (0, 1)]
    places = {
        dice.choice(ends) if ends and dice.random() < 0.7 else dice.randrange(1, len(data))
        for _ in range(dice.choice((1, 1, 2, 3, 5)))
    }
    cuts = [0, *sorted(place for place in places if 0 < place < len(data)), len(data)]
    return tuple(data[a:b] for a, b in itertools.pairwise(cuts))


def _mutated(dice: random.Random, data: bytes) -> bytes:
    for _ in range(dice.choice((1, 1, 1, 2, 2, 3, 5))):
        data = dice.choice(_MUTATIONS)(dice, data)
    return data


def _at(dice: random.Random, data: bytes) -> int:
    return dice.randrange(min(len(data), 400) + 1)


def _insert(dice: random.Random, data: bytes) -> bytes:
    at = _at(dice, data)
    return data[:at] + dice.choice(SNIPPETS) + data[at:]


def _replace(dice: random.Random, data: bytes) -> bytes:
    at = _at(dice, data)
    return data[:at] + dice.choice(SNIPPETS) + data[at + dice.choice((1, 1, 1, 2, 4)) :]


def _delete(dice: random.Random, data: bytes) -> bytes:
    at = _at(dice, data)
    return data[:at] + data[at + dice.choice((1, 1, 1, 2, 5)) :]


def _byte(dice: random.Random, data: bytes) -> bytes:
    at = _at(dice, data)
    return data[:at] + bytes([dice.randrange(256)]) + data[at + 1 :]


def _lines(dice: random.Random, data: bytes) -> bytes:
    """Do something to whole lines."""
    lines: list[Any] = data.split(b"\r\n")
    one, two = dice.randrange(len(lines)), dice.randrange(len(lines))
    kind = dice.randrange(5)
    if kind == 0:
        lines.insert(two, lines[one])
    elif kind == 1:
        lines[one], lines[two] = lines[two], lines[one]
    elif kind == 2:
        del lines[one]
    elif kind == 3:
        lines.insert(one, dice.choice(SNIPPETS).removesuffix(b"\r\n"))
    else:
        lines[one] = lines[one].swapcase()
    return b"\r\n".join(lines)


def _line_end(dice: random.Random, data: bytes) -> bytes:
    """Make one line end another one."""
    places = [at for at in range(min(len(data), 2000)) if data[at : at + 2] == b"\r\n"]
    if not places:
        return data
    at = dice.choice(places)
    return (
        data[:at]
        + dice.choice((b"\n", b"\r", b"\r\r\n", b"\n\r", b" \r\n", b"\r\n ", b"\r\n\t", b"\x00\r\n", b"\r\n\r\n"))
        + data[at + 2 :]
    )


def _splice(dice: random.Random, data: bytes) -> bytes:
    other = dice.choice(REQUESTS if data[:5] != b"HTTP/" else ANSWERS)
    return data[: _at(dice, data)] + other[_at(dice, other) :][:4000]


_MUTATIONS = (_insert, _insert, _replace, _replace, _delete, _byte, _lines, _lines, _line_end, _line_end, _splice)
