"""The functions that `{{ }}` knows without anybody defining them (runscope.md 3.1, the vendor's complete table).

One rule: same clock, same chance, same text. Both are handed in; nothing here knows a clock. A name that is no
function gives None; arguments that a function cannot take raise FunctionProblem with a sentence for the user.
Arguments are not quoted. Commas that a variable brought in separate nothing: only those written do (INFERRED).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import string
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

__all__ = ["FACTS", "FUNCTIONS", "Builtins", "FunctionProblem", "Piece"]

FACTS: Final = (
    "runscope_environment",
    "runscope_environment_uuid",
    "runscope_bucket",
    "runscope_bucket_name",
    "runscope_test_uuid",
    "runscope_test_name",
    "runscope_region",
    "runscope_agent",
)
"""Names that tell of the run; one that a caller gives no text for is blank, as `runscope_agent` is in the cloud."""

MAX_RANDOM_STRING: Final = 1000
_LETTERS = string.ascii_letters + string.digits


class FunctionProblem(Exception):
    """A function of `{{ }}` that cannot take its arguments; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of what stands between `{{` and `}}`: as written, or a value put in its place, perhaps a secret one."""

    text: str
    is_value: bool = False
    is_secret: bool = False


def _no_address(_token: str) -> str | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Builtins:
    """What the functions take from outside.

    `now` gives Unix seconds, `random_below(n)` a whole number from 0 to n - 1. `facts` are texts for names of FACTS,
    `secrets` those of `get_secret`, `incoming_url` gives the address for a token of an inbound step, if there is one.
    """

    now: Callable[[], float]
    random_below: Callable[[int], int]
    facts: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    incoming_url: Callable[[str], str | None] = _no_address

    @staticmethod
    def harmless() -> Builtins:
        """Return functions with a clock and dice that stand still: for reading texts, not for running them."""
        return Builtins(now=lambda: 0.0, random_below=lambda _: 0)

    @staticmethod
    def knows(text: str) -> bool:
        """Whether this, from between the braces, is a function."""
        name, bracket, rest = text.strip().partition("(")
        return name in FUNCTIONS and rest.endswith(")") if bracket else name in FACTS or name in _PLAIN

    def call(self, pieces: list[Piece]) -> Piece | None:
        """Return what stands between the braces, worked out; None where it is no function.

        The first and the last piece are as written, perhaps empty; there is one piece at least.

        Raises:
            FunctionProblem: a function that cannot take these arguments.
        """
        match = _HEAD.match(pieces[0].text)
        if match is None:
            name = "".join(piece.text for piece in pieces).strip()
            if name in FACTS:
                return Piece(self.facts.get(name, ""), is_value=True)
            return Piece(_PLAIN[name](self), is_value=True) if name in _PLAIN else None
        name = match[1]
        function = FUNCTIONS.get(name)
        if function is None or not pieces[-1].text.rstrip().endswith(")"):
            return None
        arguments = _arguments(pieces, match.end(), function)
        if arguments == [""] and name in _PLAIN:
            function, arguments = _Function((), _PLAIN[name]), []
        if len(arguments) != len(function.parameters):
            raise FunctionProblem(f"{name}({', '.join(function.parameters)}): {_count(arguments)} given")
        is_secret = name == "get_secret" or any(piece.is_secret for piece in pieces)
        return Piece(function.run(self, *arguments), is_value=True, is_secret=is_secret)


_HEAD = re.compile(r"\s*([a-z][a-z0-9_]*)\(", re.ASCII)


def _count(arguments: list[str]) -> str:
    return {1: "one argument"}.get(len(arguments), f"{len(arguments)} arguments")


@dataclass(frozen=True, slots=True)
class _Function:
    """A function: its parameters' names, what it does, and which of several commas separates two arguments."""

    parameters: tuple[str, ...]
    run: Callable[..., str]
    at_last_comma: bool = False


def _arguments(pieces: list[Piece], start: int, function: _Function) -> list[str]:
    """Return the arguments: split at written commas, as many as the function has parameters; one takes all."""
    inner = [Piece(pieces[0].text[start:]), *pieces[1:]]
    inner[-1] = Piece(inner[-1].text.rstrip()[:-1])
    if len(function.parameters) == 1:
        return ["".join(piece.text for piece in inner)]
    found = [""]
    for piece in inner:
        first, *more = [piece.text] if piece.is_value else piece.text.split(",")
        found[-1] += first
        found += more
    spare = len(found) - len(function.parameters)
    if spare > 0 and function.parameters:
        start = 0 if function.at_last_comma else len(function.parameters) - 1
        found[start : start + spare + 1] = [",".join(found[start : start + spare + 1])]
    return [found[0], *(one.strip() for one in found[1:])]


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "replace")


def _whole(function: str, value: str) -> int:
    if not re.fullmatch(r"\s*[+-]?[0-9]{1,20}\s*", value, re.ASCII):
        raise FunctionProblem(f"{function}: '{value[:40]}' is not a whole number")
    return int(value)


def _utc(function: str, seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise FunctionProblem(f"{function}: {seconds} is no time of the years 1 to 9999") from None


def _utc_datetime(given: Builtins) -> str:
    return _utc("utc_datetime", given.now()).replace(tzinfo=None).isoformat(timespec="microseconds")


def _format_timestamp(_: Builtins, value: str, pattern: str) -> str:
    if not re.fullmatch(r"\s*[+-]?[0-9]{1,20}(\.[0-9]{1,20})?\s*", value, re.ASCII):
        raise FunctionProblem(f"format_timestamp: '{value[:40]}' is not a number of seconds")
    moment = _utc("format_timestamp", float(value))
    made = {
        "YYYY": f"{moment.year:04}",
        "YY": f"{moment.year % 100:02}",
        "MM": f"{moment.month:02}",
        "DD": f"{moment.day:02}",
        "HH": f"{moment.hour:02}",
        "hh": f"{moment.hour % 12 or 12:02}",
        "mm": f"{moment.minute:02}",
        "ss": f"{moment.second:02}",
    }
    return re.sub("|".join(made), lambda match: made[match.group()], pattern)


def _random_int(given: Builtins, low: str, high: str) -> str:
    bottom, top = _whole("random_int", low), _whole("random_int", high)
    if bottom > top:
        raise FunctionProblem(f"random_int: {bottom} is greater than {top}")
    return str(bottom + given.random_below(top - bottom + 1))


def _random_string(given: Builtins, length: str) -> str:
    wanted = _whole("random_string", length)
    if not 0 <= wanted <= MAX_RANDOM_STRING:
        raise FunctionProblem(f"random_string: a length of 0 to {MAX_RANDOM_STRING}, not {wanted}")
    return "".join(_LETTERS[given.random_below(len(_LETTERS))] for _ in range(wanted))


def _digest(algorithm: str) -> Callable[[Builtins, str], str]:
    return lambda _, value: hashlib.new(algorithm, _bytes(value), usedforsecurity=False).hexdigest()


def _keyed(algorithm: str) -> Callable[[Builtins, str, str], str]:
    return lambda _, value, key: hmac.new(_bytes(key), _bytes(value), algorithm).hexdigest()


def _secret(given: Builtins, key: str) -> str:
    value = given.secrets.get(key.strip())
    if value is None:
        raise FunctionProblem(f"get_secret: no secret '{key.strip()}' was given")
    return value


def _incoming(given: Builtins, token: str) -> str:
    address = given.incoming_url(token.strip())
    if address is None:
        raise FunctionProblem(f"incoming_url: no incoming request waits for '{token.strip()}'")
    return address


_PLAIN: Final[Mapping[str, Callable[[Builtins], str]]] = {
    "timestamp": lambda given: str(int(given.now())),
    "utc_datetime": _utc_datetime,
    "random_int": lambda given: str(given.random_below(2**64)),
    "uuid": lambda given: str(uuid.UUID(int=given.random_below(2**128), version=4)),
}

FUNCTIONS: Final[Mapping[str, _Function]] = {
    "timestamp": _Function((), _PLAIN["timestamp"]),
    "utc_datetime": _Function((), _PLAIN["utc_datetime"]),
    "uuid": _Function((), _PLAIN["uuid"]),
    "format_timestamp": _Function(("value", "format"), _format_timestamp),
    "timestamp_offset": _Function(
        ("seconds",), lambda given, seconds: str(int(given.now()) + _whole("timestamp_offset", seconds))
    ),
    "random_int": _Function(("a", "b"), _random_int),
    "random_string": _Function(("length",), _random_string),
    "encode_base64": _Function(("value",), lambda _, value: base64.b64encode(_bytes(value)).decode("ascii")),
    "md5": _Function(("value",), _digest("md5")),
    "sha1": _Function(("value",), _digest("sha1")),
    "sha256": _Function(("value",), _digest("sha256")),
    "hmac_sha1": _Function(("value", "key"), _keyed("sha1"), at_last_comma=True),
    "hmac_sha256": _Function(("value", "key"), _keyed("sha256"), at_last_comma=True),
    "url_encode": _Function(("value",), lambda _, value: quote(_bytes(value), safe="")),
    "get_secret": _Function(("key",), _secret),
    "incoming_url": _Function(("token",), _incoming),
}
"""The functions that are written with parentheses, by name."""
