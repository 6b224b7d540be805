"""An exchange as a comparison reads it: its operation, and its bodies as JSON, text, or a word about what they are.

One rule: never raises and bounded, whatever came: a body that is too long or too deep is refused with a word and
compared by its hash. Strict JSON only (RFC 8259): NaN, or text after the value, make a body that is no JSON.
Pure; bind.py, diff/match.py and diff/differences.py read exchanges through it, so that each is parsed once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from scimproxy.bounded_json import no_constant
from scimproxy.decode import charset_of, decode, text_of
from scimproxy.exchange import Content, Exchange, Headers
from scimproxy.scim.message import Operation, operation_of

__all__ = ["LONGEST", "MOST_DEPTH", "MOST_VALUES", "NOTHING", "Body", "Reading", "Seen", "read_body", "seen"]

LONGEST = 1024 * 1024
"""Bytes of a body, decoded, that are compared value by value."""
MOST_DEPTH = 64
"""Objects and lists inside each other."""
MOST_VALUES = 200_000
"""Values in one body."""

type Form = Literal["none", "json", "text", "binary", "refused"]


@dataclass(frozen=True, slots=True)
class Body:
    """A body: `value` is what its JSON or text says; `word` why it is not compared value by value.

    `mark` says that it begins with a byte order mark, which JSON must not (RFC 8259 section 8.1).
    """

    form: Form
    value: Any = None
    word: str = ""
    sha256: str = ""
    mark: bool = False


NOTHING = Body("none")
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_MOST_KEPT = 1024
_LONGEST_KEPT = 16_384


@dataclass(frozen=True, slots=True)
class Seen:
    """An exchange, read. `step` names the suite's step that made it, where there was one."""

    exchange: Exchange
    operation: Operation
    request: Body
    response: Body
    step: tuple[str, str] | None = None

    @property
    def host(self) -> str:
        """The host that the client asked, with its port."""
        return (self.exchange.request.headers.get("host") or self.exchange.host or "").lower()


def seen(
    exchange: Exchange,
    step: tuple[str, str] | None = None,
    read: Callable[[Content, Headers], Body] | None = None,
) -> Seen:
    """Read an exchange once."""
    request, response = exchange.request, exchange.response
    read = read or read_body
    sent = read(request.content, request.headers)
    got = NOTHING if response is None else read(response.content, response.headers)
    known = sent.form in _SURE and got.form in _SURE
    operation = operation_of(exchange, objects=(_object(sent), _object(got)) if known else None)
    return Seen(exchange, operation, sent, got, step)


_SURE = frozenset({"none", "json"})
"""Forms of which message.py, which is less strict, would think the same."""


def _object(body: Body) -> dict[str, Any] | None:
    return body.value if isinstance(body.value, dict) else None


class Reading:
    """Reads the exchanges of a run; a body that came before, not long ago, is not parsed again but the same object.

    Bodies are values: whoever gets one must not change it.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bool, str | None, str | None], Body] = {}

    def seen(self, exchange: Exchange, step: tuple[str, str] | None = None) -> Seen:
        """Read an exchange once."""
        return seen(exchange, step, read=self._read)

    def _read(self, content: Content, headers: Headers) -> Body:
        if not content.size or content.truncated or len(content.data) > _LONGEST_KEPT:
            return read_body(content, headers)
        key = (content.data, content.redacted, headers.get("content-type"), headers.get("content-encoding"))
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MOST_KEPT:
                self._known.clear()
            found = self._known[key] = read_body(content, headers)
        return found


def read_body(content: Content, headers: Headers) -> Body:
    """Return what a content holds, bounded."""
    if not content.size:
        return NOTHING
    if content.truncated:
        return _refused(content, f"stored in part only, of {content.size} bytes")
    decoded = decode(content, headers, limit=LONGEST + 1)
    if len(decoded.data) > LONGEST:
        return _refused(content, f"longer than {LONGEST} bytes")
    found = text_of(decoded.data, charset_of(headers))
    if "\0" in found.text or "\ufffd" in found.text:
        return Body("binary", word=f"{content.size} bytes that are no text", sha256=content.sha256)
    try:
        value = _parsed(found.text)
    except RecursionError:
        return _refused(content, f"nested deeper than {MOST_DEPTH}")
    except ValueError:
        return Body("text", found.text, sha256=content.sha256)
    word = "" if _plainly_small(found.text) else _too_much(value)
    return _refused(content, word) if word else Body("json", value, mark=decoded.data.startswith(_MARKS))


def _refused(content: Content, word: str) -> Body:
    return Body("refused", word=word, sha256=content.sha256)


_parsed = json.JSONDecoder(parse_constant=no_constant).decode


def _plainly_small(text: str) -> bool:
    """Whether a document cannot be too deep or hold too many values, whatever it says."""
    return len(text) <= MOST_VALUES and text.count("{") + text.count("[") < MOST_DEPTH


def _too_much(value: object) -> str:
    """Return a word if a document is too deep or holds too many values; without recursion."""
    level, count = [value], 0
    for _ in range(MOST_DEPTH):
        deeper: list[object] = []
        for one in level:
            if isinstance(one, dict):
                deeper.extend(one.values())
            elif isinstance(one, list):
                deeper.extend(one)
        if not deeper:
            return ""
        count += len(deeper)
        if count > MOST_VALUES:
            return f"of more than {MOST_VALUES} values"
        level = deeper
    return f"nested deeper than {MOST_DEPTH}"
