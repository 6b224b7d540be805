"""Texts with references in them, as every format of `exports` is given them: `("/Users/", Ref("user_id_1"))`.

One rule: a text is literal but for its `Ref`s, and a Ref says in which coding its value goes in; what a format cannot
write it must escape. Pure; variables.py makes them, the formats spell them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from scimproxy.exports.secret_names import FINGERPRINT

__all__ = ["BASE_URL", "FRESH", "Coding", "Piece", "Ref", "Text", "joined", "names_in", "with_secrets"]

BASE_URL = "base_url"
"""The reference to the base URL of the SCIM server, without a slash at its end."""
FRESH = "fresh"
"""The reference to digits that make the names of one run unlike those of all others; empty: as they were recorded."""

type Coding = Literal["plain", "url", "json"]


@dataclass(frozen=True, slots=True)
class Ref:
    """A value that is known only when the run is run again; `coding` is how it stands in the text around it."""

    name: str
    coding: Coding = "plain"


type Piece = str | Ref
type Text = tuple[Piece, ...]


def joined(pieces: Iterable[Piece]) -> Text:
    """Return pieces as a text in which no literal is empty or stands beside another."""
    made: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, str) and made and isinstance(made[-1], str):
            made[-1] += piece
        elif piece != "":
            made.append(piece)
    return tuple(made)


def names_in(text: Text) -> Iterator[str]:
    """Yield the names that a text refers to."""
    for piece in text:
        if isinstance(piece, Ref):
            yield piece.name


def with_secrets(text: Text, name: Callable[[str], str], coding: Coding) -> Text:
    """Return a text with a reference for every fingerprint in it; `name` gives the reference's name."""
    made: list[Piece] = []
    for piece in text:
        if isinstance(piece, Ref):
            made.append(piece)
            continue
        at = 0
        for found in FINGERPRINT.finditer(piece):
            made += (piece[at : found.start()], Ref(name(found[0]), coding))
            at = found.end()
        made.append(piece[at:])
    return joined(made)
