"""Echoes: a secret of a request that its answer repeats, raw or in the coding of where it stands.

One rule: every form counts in which a server may write a text: as it is, as JSON writes it (RFC 8259 section 7), in
percent codes (RFC 3986 section 2.1), as HTML writes it. Letters, digits and `-._~` look the same in all of them,
so the longest piece made of them (the anchor) decides cheaply that nothing is there.
Pure; redact.py asks, after it has found the secrets by their places.
"""

from __future__ import annotations

import html
import json
import re
from functools import lru_cache

from scimproxy.exchange import fingerprint

__all__ = ["Echo", "echo_of"]

_OPEN = re.compile(r"[A-Za-z0-9._~-]+")
_LONGEST_CODED = 4096
_MOST_REMEMBERED = 512


class Echo:
    """One secret, and how to find it in an answer."""

    __slots__ = ("_anchor", "_anchor_text", "_mark", "_pattern", "_plain", "_secret")

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._mark = fingerprint(secret).encode()
        self._anchor_text = max(_OPEN.findall(secret), key=len, default="")
        self._anchor = self._anchor_text.encode()
        self._plain = self._anchor_text == secret
        self._pattern: re.Pattern[bytes] | None = None

    def near(self, text: str) -> bool:
        """Whether the secret may be in a text: cheap, and never wrong in saying no."""
        return self._anchor_text in text

    def taken_from(self, data: bytes) -> bytes:
        """Return the bytes with the fingerprint in place of the secret; the same object where it is not there."""
        if data.find(self._anchor) < 0:  # three times faster than `in`, which asks for a buffer first
            return data
        if self._plain:
            return data.replace(self._anchor, self._mark)
        if self._pattern is None:
            self._pattern = _pattern(self._secret)
        return self._pattern.sub(self._mark, data) if self._pattern.search(data) else data

    def taken_from_text(self, text: str) -> str:
        """Return a text of the wire (ISO-8859-1) or of ours with the fingerprint in place of the secret."""
        if self._anchor_text not in text:
            return text
        try:
            return self.taken_from(text.encode("latin-1")).decode("latin-1")
        except UnicodeEncodeError:
            return self.taken_from(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")


def echo_of(secret: str) -> Echo:
    """Return what finds a secret; remembered, in this process's memory only, where it is not a long one."""
    return _remembered(secret) if len(secret) <= _LONGEST_CODED else Echo(secret)


_remembered = lru_cache(maxsize=_MOST_REMEMBERED)(Echo)


def _pattern(secret: str) -> re.Pattern[bytes]:
    """Return what matches every form of a secret; of a very long one only the plain ones."""
    if len(secret) > _LONGEST_CODED:
        forms = {secret.encode("utf-8", "surrogateescape"), json.dumps(secret)[1:-1].encode()}
        return re.compile(b"|".join(re.escape(form) for form in sorted(forms)))
    return re.compile(b"".join(_forms(char) for char in secret))


def _forms(char: str) -> bytes:
    if _OPEN.fullmatch(char):
        return re.escape(char).encode()
    raw = char.encode("utf-8", "surrogateescape")
    units = char.encode("utf-16-be", "surrogatepass")
    escaped = "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2)).encode()
    forms = {
        raw,
        char.encode("latin-1", "ignore"),
        json.dumps(char, ensure_ascii=False)[1:-1].encode("utf-8", "surrogateescape"),
        html.escape(char).encode("utf-8", "surrogateescape"),
        f"&#{ord(char)};".encode(),
    }
    forms |= {b"\\/"} if char == "/" else {b"+"} if char == " " else set()
    coded = re.escape(escaped) + b"|" + "".join(f"%{one:02x}" for one in raw).encode()
    ordered = sorted(forms - {b""}, key=len, reverse=True)  # the longest first: a backslash begins its own escape
    return b"(?:(?i:" + coded + b")|" + b"|".join(re.escape(form) for form in ordered) + b")"
