"""Secrets out of bodies, by editing their text: JSON whole or cut, XML, multipart, in any Unicode coding.

One rule: only the values that are secret change, every other byte stays (white space, order, number forms,
duplicate members); what does not parse is treated as well as what does, because a body may be cut in the middle.
Work is linear in the body. Pure; redact.py calls `edited` for bodies that `suspicious` points at, and
`without_jwts` for texts that hold a JSON web token (RFC 7519), wherever it stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from weakref import WeakValueDictionary

from scimproxy.exchange import fingerprint

__all__ = [
    "JWT_BEGIN",
    "SECRET_MEMBERS",
    "SECRET_TEXTS",
    "Keep",
    "Look",
    "edited",
    "hints",
    "is_fingerprint",
    "mentions",
    "plain_name",
    "suspicious",
    "without_comparisons",
    "without_jwts",
    "without_jwts_in_text",
]

SECRET_MEMBERS = frozenset(
    {
        "password",
        "passwd",
        "newpassword",
        "oldpassword",
        "currentpassword",
        "userpassword",
    }
)
"""Plain names (see `plain_name`) of JSON members whose values are credentials, at any depth, also behind a urn."""

SECRET_TEXTS = frozenset(
    {
        "accesstoken",
        "apikey",
        "authtoken",
        "clientsecret",
        "idtoken",
        "pwd",
        "refreshtoken",
        "secret",
        "secretkey",
        "sessiontoken",
        "token",
    }
)
"""Plain names of JSON members that are credentials where their value is a text: {"token": {...}} describes one."""

JWT_BEGIN = "eyJ"
"""What `{"` is in base64url: every JSON web token begins with it."""
_JWT_BYTES = JWT_BEGIN.encode()

_NAMED = (
    r"(?:(?:new|old|current|user)[_-]?password|password|passwd|pwd|(?:access|auth|id|refresh|session)[_-]?token|token"
    r"|(?:client[_-]?)?secret|api[_-]?key|secret[_-]?key)"
)
_FINGERPRINT = re.compile(r"sha256:[0-9a-f]{8}")
_MOST_DEPTH = 500
_TAIL = 65_536
_BLANKS = b"\xef\xbb\xbf \t\r\n"
_MARKUP = frozenset({b"<", b"-"})
_WIDE_MARKS = frozenset({b"\xff\xfe", b"\xfe\xff"})

_TOKEN = re.compile(
    rb"""
    "((?:[^"\\]++|\\.)*+)(?:(")(\s*+:)?+|\\?+\Z)   # 1 the text, 2 its end, 3 the colon of a member's name
    | [\[{\]}]
    | [^\s"\[\]{},:]++
    """,
    re.VERBOSE | re.DOTALL,
)
_PATH_TO_SECRET = re.compile(rf"(?:^|[:.])\s*{_NAMED}\s*(?:$|[.\[])", re.IGNORECASE)
_COMPARISON = re.compile(
    r"""(\bpassword\s+(?:eq|ne|co|sw|ew|gt|ge|lt|le)\s+)("(?:[^"\\]|\\.)*+"?+|[^\s()\[\]"]++)""", re.IGNORECASE
)
_XML = re.compile(
    rf"(<(?:[\w.-]+:)?{_NAMED}\b[^<>]*>)(<!\[CDATA\[.*?\]\]>|[^<]+)".encode(), re.DOTALL | re.IGNORECASE
)
_PART = re.compile(
    rf"""(\bname="?{_NAMED}"?[^\r\n]{{0,1000}}(?:\r?\n[^\r\n]{{1,1000}}){{0,20}}\r?\n\r?\n)(.+?)(?=\r?\n--|\Z)""".encode(),
    re.IGNORECASE | re.DOTALL,
)
_JWT = re.compile(r"eyJ[\w-]{5,}+(?:\.[\w-]*+)*+", re.ASCII)
_JWT_PARTS = 3
_JWT_MOST_PARTS = 5


def plain_name(name: str) -> str:
    """Return a name as the lists of secret names write it: lower case, without `_` and `-`."""
    return name.lower().replace("_", "").replace("-", "")


def is_fingerprint(text: str) -> bool:
    """Whether a text is what stands for a secret."""
    return _FINGERPRINT.fullmatch(text) is not None


class Keep:
    """Gives a secret's fingerprint and remembers both in `found`.

    `words` holds those that may be ordinary words because their place is a vague one, a cookie's value for example:
    they are not looked for in answers where they are made of letters only.
    """

    __slots__ = ("found", "words")

    def __init__(self, found: dict[str, str]) -> None:
        self.found = found
        self.words: set[str] = set()

    def __call__(self, secret: str) -> str:
        """Return the fingerprint of a secret."""
        mark = fingerprint(secret)
        self.found[mark] = secret
        self.words.discard(mark)
        return mark

    def vague(self, secret: str) -> str:
        """Return the fingerprint of what may be an ordinary word."""
        mark = fingerprint(secret)
        if mark not in self.found:
            self.found[mark] = secret
            self.words.add(mark)
        return mark

    def take(self, other: Keep) -> None:
        """Remember what another one remembers."""
        if self.words or other.words:
            sure = (self.found.keys() - self.words) | (other.found.keys() - other.words)
            self.words = (self.words | other.words) - sure
        self.found.update(other.found)


_WINDOW = 262_144
_OVERLAP = 64
_QUOTED = re.compile(
    r"""(?:token|secret|key|pwd)(?:\s*[.\[]|(?:[^a-z0-9"\\]|\\.)*+(?:"|\\?\Z))""", re.DOTALL
)  # fmt: skip
"""In a plain text: what a member's name (blanks may follow) or a path ends with, or goes on with behind a window."""
_OPERATIONS = '"operations"'


class Look:
    """What a body may hold of secrets, found in its pieces one after the other: cheap, never wrong in saying no.

    A body that is bigger than a window is looked through while it passes; `remember` lets `hints` find that again.
    """

    __slots__ = ("__weakref__", "_bare", "_head", "_last", "_quoted", "data", "operations", "token")

    def __init__(self) -> None:
        self._head = b""
        self._last = b""
        self._quoted = False  # certain by a quotation mark, or a password, or escapes
        self._bare = False  # the bare name of a secret
        self.token = False
        self.operations = False
        self.data: bytes | None = None

    @property
    def named(self) -> bool:
        """Whether the bytes hold the name of a secret, in any letter case, or letters written as JSON escapes."""
        return _named(self._quoted, self._bare, self._head)

    def feed(self, piece: bytes) -> None:
        """Look through the next bytes."""
        if len(self._head) < _OVERLAP:
            self._head += piece[: _OVERLAP - len(self._head)]
        # Texts are searched several times faster than bytes; in windows, so that a big body is not held thrice.
        for at in range(0, len(piece), _WINDOW):
            window = piece[at : at + _WINDOW]
            if self._last:  # what begins in one and ends in the next
                self._search(self._last + window[:_OVERLAP])
            self._search(window)
            self._last = (self._last + window[-_OVERLAP:])[-_OVERLAP:]

    def _search(self, data: bytes) -> None:
        self.token = self.token or JWT_BEGIN in data.decode("latin-1")
        plain = _plain(data)
        self.operations = self.operations or _OPERATIONS in plain
        if not self._quoted:
            self._quoted, bare = _names(plain)
            self._bare = self._bare or bare

    def remember(self, data: bytes) -> None:
        """Keep in mind that these very bytes were looked through, as long as this look itself is kept."""
        self.data = data
        _looks[id(data)] = self


_looks: WeakValueDictionary[int, Look] = WeakValueDictionary()


def _look_at(data: bytes) -> Look:
    known = _looks.get(id(data))
    if known is not None and known.data is data:
        return known
    look = Look()
    look.feed(data)
    return look


_LOWER = bytes(range(256)).lower()


def _plain(data: bytes) -> str:
    """Return bytes as a text as `plain_name` writes names."""
    if data.find(b"_") < 0 and data.find(b"-") < 0:
        return data.lower().decode("latin-1")
    return data.translate(_LOWER, b"_-").decode("latin-1")  # one pass, which takes half as long as three


def _names(plain: str) -> tuple[bool, bool]:
    """Whether a text holds the name of a secret for certain, and whether it does where names stand bare."""
    # One character is found ten times faster than three, and five (for "secret") four times faster than six.
    if "passw" in plain or ("\\" in plain and "\\u00" in plain):
        return True, True
    if "token" in plain or "secre" in plain or "key" in plain or "pwd" in plain:
        return _QUOTED.search(plain) is not None, True
    return False, False


def _named(quoted: bool, bare: bool, head: bytes) -> bool:
    # In XML and multipart, names stand without quotation marks.
    return quoted or (bare and head[:_OVERLAP].lstrip(_BLANKS)[:1] in _MARKUP)


def mentions(data: bytes) -> bool:
    """Whether the bytes hold the name of a secret, in any letter case, or letters written as JSON escapes."""
    if len(data) > _WINDOW:
        return _look_at(data).named
    return _named(*_names(_plain(data)), data)


def hints(data: bytes, *, cut: bool = False) -> tuple[bool, bool]:
    """Whether a body may hold a secret by its name, and whether it may hold a token: cheap, never wrong in saying no.

    Beside names it looks for codings other than UTF-8 and, in a cut body, for a PATCH operation near the end:
    its path may be what was lost.
    """
    if len(data) > _WINDOW:
        look = _look_at(data)
        named, token, operations = look.named, look.token, look.operations
    else:
        plain = _plain(data)
        quoted, bare = _names(plain)
        named = quoted or (bare and _named(quoted, bare, data))
        token = data.find(_JWT_BYTES) >= 0  # twice as fast as `in`, which asks for a buffer first
        operations = cut and _OPERATIONS in plain
    if named or b"\0" in data[:4] or data[:2] in _WIDE_MARKS:
        return True, token
    return cut and (operations or b'"op"' in data[-_TAIL:].lower()), token


def suspicious(data: bytes, *, cut: bool = False) -> bool:
    """Whether a body may hold a secret by its name."""
    return hints(data, cut=cut)[0]


def without_jwts_in_text(text: str, keep: Keep, *, cut: bool = False) -> str:
    """Return a text with fingerprints in place of JSON web tokens; in a cut text also of half a token at its end.

    A token is `eyJ...` with two dots or more (RFC 7515 section 3.1, RFC 7516 section 3.1). Work is linear.
    """
    pieces: list[str] = []
    done = at = 0
    while (at := text.find(JWT_BEGIN, at)) >= 0:
        match = _JWT.match(text, at)
        if match is None:
            at += len(JWT_BEGIN)
            continue
        token = match[0]
        parts = token.split(".", _JWT_MOST_PARTS)[:_JWT_MOST_PARTS]
        end = match.end()
        if len(parts) >= _JWT_PARTS and parts[1]:
            token = ".".join(parts)
            if len(parts) > _JWT_PARTS:
                token = token.rstrip(".")  # the end of a sentence
            pieces += (text[done:at], keep(token))
            done = at + len(token)
        elif cut and end == len(text):
            pieces += (text[done:at], keep(token))
            done = end
        at = end  # a later start in the same run of letters and dots is a part of this one
    return "".join((*pieces, text[done:])) if pieces else text


def without_jwts(data: bytes, keep: Keep, *, cut: bool = False) -> bytes:
    """Return a body without JSON web tokens; the same object where there are none."""
    if JWT_BEGIN.encode() not in data:
        return data
    text = data.decode("latin-1")
    safe = without_jwts_in_text(text, keep, cut=cut)
    return data if safe == text else safe.encode("latin-1")


def edited(data: bytes, keep: Keep, *, charset: str | None = None, cut: bool = False) -> bytes:
    """Return the body without its secrets; the same object where there are none. `cut`: it is not whole."""
    safe = data
    wide = _wide(data, charset)
    if wide is not None:
        unit, codec = wide
        whole = len(data) - len(data) % unit
        try:
            plain = data[:whole].decode(codec, "surrogatepass").encode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            plain = None
        if plain is not None:
            clean = without_jwts(_edited(plain, keep, cut=cut), keep, cut=cut)
            if clean is not plain:
                safe = clean.decode("utf-8", "surrogatepass").encode(codec, "surrogatepass") + data[whole:]
            if not mentions(safe):
                return safe
            # A name in plain bytes: the zeros were no coding.
    return _edited(safe, keep, cut=cut)


def _wide(data: bytes, charset: str | None) -> tuple[int, str] | None:
    """Return unit and codec of a body in UTF-16 or UTF-32, by its marks or by where its zeros are."""
    head = data[:4].ljust(4, b"\1")
    if head == b"\xff\xfe\0\0" or head[1:] == b"\0\0\0":
        return 4, "utf-32-le"
    if head == b"\0\0\xfe\xff" or head[:3] == b"\0\0\0":
        return 4, "utf-32-be"
    if head.startswith(b"\xff\xfe") or head[1] == 0:
        return 2, "utf-16-le"
    if head.startswith(b"\xfe\xff") or head[0] == 0:
        return 2, "utf-16-be"
    named = (charset or "").replace("_", "-")
    return (2, "utf-16-le" if named.endswith("le") else "utf-16-be") if named.startswith("utf-16") else None


def _edited(data: bytes, keep: Keep, *, cut: bool) -> bytes:
    begin = data[:64].lstrip(_BLANKS)
    if begin.startswith(b"<"):
        return _XML.sub(lambda match: match[1] + _xml_value(match[2], keep), data)
    if begin.startswith(b"--"):
        return _PART.sub(lambda match: match[1] + _bare_value(match[2], keep), data)
    spans = sorted(_Scan(data, cut=cut).spans())
    if not spans:
        return data
    pieces: list[bytes] = []
    done = 0
    for start, end, whole in spans:
        for at, stop, new in _replacements(data, max(start, done), end, keep, whole=whole):
            pieces += (data[done:at], new)
            done = stop
    if not pieces:
        return data
    pieces.append(data[done:])
    return b"".join(pieces)


def _xml_value(raw: bytes, keep: Keep) -> bytes:
    return raw if not raw.strip() else _bare_value(raw, keep)


def _bare_value(raw: bytes, keep: Keep) -> bytes:
    text = raw.decode("utf-8", "surrogateescape")
    return raw if is_fingerprint(text.strip()) else keep(text).encode()


# -- JSON


type _Span = tuple[int, int, bool]
"""Start, end, and whether all of it is secret (else it is a filter or path of which parts may be)."""


class _Frame:
    """An open object or array of the scan, and what its members say about a PATCH operation."""

    __slots__ = ("has_op", "has_path", "name", "secret_path", "start", "values")

    def __init__(self, name: str | None, start: int) -> None:
        self.name = name
        self.start = start
        self.values: list[_Span] = []
        self.secret_path = False
        self.has_path = False
        self.has_op = False


class _Scan:
    """One pass over the tokens of a JSON text that finds the spans of secret values; faults are passed over."""

    def __init__(self, data: bytes, *, cut: bool) -> None:
        self.data = data
        self.cut = cut
        self.found: list[_Span] = []
        self.stack = [_Frame(None, 0)]
        self.too_deep = 0

    def spans(self) -> list[_Span]:
        """Return (start, end) of every secret value: a text, a number, or a whole object or array."""
        name: str | None = None
        for match in _TOKEN.finditer(self.data):
            first = self.data[match.start()]
            if match[3] is not None:
                name = _name(match[1])
            elif first in b"{[":
                self._open(name, match.start())
                name = None
            elif first in b"}]":
                self._close(match.end())
                name = None
            else:
                if name is not None:
                    self._value(name, match)
                name = None
        while len(self.stack) > 1:
            self._close(len(self.data), lost=True)
        self._end(self.stack[0], lost=True)
        return self.found

    def _open(self, name: str | None, start: int) -> None:
        if len(self.stack) > _MOST_DEPTH:
            self.too_deep += 1
            if name is not None and plain_name(name) in SECRET_MEMBERS:
                self.found.append((start, len(self.data), True))
            return
        self.stack.append(_Frame(name, start))

    def _close(self, end: int, *, lost: bool = False) -> None:
        if self.too_deep and not lost:
            self.too_deep -= 1
            return
        if len(self.stack) == 1:
            return
        frame = self.stack.pop()
        self._end(frame, lost=lost)
        self._member(self.stack[-1], frame.name, frame.start, end)

    def _value(self, name: str, match: re.Match[bytes]) -> None:
        frame = self.stack[-1]
        if name == "op":
            frame.has_op = True
        elif name == "path" and match[1] is not None:
            frame.has_path = True
            path = _text(match[1])
            # A path cut in the middle may have been the password's.
            frame.secret_path = frame.secret_path or match[2] is None or _PATH_TO_SECRET.search(path) is not None
        if name in {"filter", "path"} and _COMPARISON.search(_text(match[1] or b"")):
            self.found.append((*match.span(), False))
        self._member(frame, name, *match.span(), text=match[1] is not None)

    def _member(self, frame: _Frame, name: str | None, start: int, end: int, *, text: bool = False) -> None:
        plain = plain_name(name or "")
        if plain in SECRET_MEMBERS or (text and plain in SECRET_TEXTS):
            self.found.append((start, end, True))
        elif name == "value":
            frame.values.append((start, end, True))

    def _end(self, frame: _Frame, *, lost: bool) -> None:
        if frame.secret_path or (self.cut and lost and not frame.has_path and self._is_operation(frame)):
            self.found.extend(frame.values)

    def _is_operation(self, frame: _Frame) -> bool:
        return frame.has_op or any(outer.name == "operations" for outer in self.stack)


def _name(raw: bytes) -> str:
    text = _text(raw).lower()
    return text.rpartition(":")[2].rpartition(".")[2].strip()


def _text(raw: bytes) -> str:
    """Return the text of a JSON string; where its escapes make no sense, the text as it stands."""
    plain = raw.decode("utf-8", "surrogateescape")
    if "\\" not in plain:
        return plain
    try:
        text = json.loads(f'"{plain}"', strict=False)
        text.encode("utf-8", "surrogateescape")
    except ValueError:
        return plain
    return str(text)


def _replacements(data: bytes, start: int, end: int, keep: Keep, *, whole: bool) -> Iterator[tuple[int, int, bytes]]:
    """Return where the scalars of a span are secret and what replaces them; `whole` as in `_Span`."""
    for match in _TOKEN.finditer(data, start, end):
        raw = match[1]
        if match[3] is not None or (raw is None and match[0] in _PLAIN):
            continue
        text = _text(raw if raw is not None else match[0])
        if not whole:
            safe = without_comparisons(text, keep)
            if safe != text:
                yield (
                    match.start(),
                    match.end(),
                    json.dumps(safe, ensure_ascii=False).encode("utf-8", "surrogateescape"),
                )
        elif text and not is_fingerprint(text):
            yield match.start(), match.end(), f'"{keep(text)}"'.encode()


_PLAIN = frozenset({b"[", b"{", b"]", b"}", b"null", b"true", b"false"})


def without_comparisons(text: str, keep: Keep) -> str:
    """Return a SCIM filter or path without the values that `password` is compared with."""
    return _COMPARISON.sub(lambda match: match[1] + _compared(match[2], keep), text)


def _compared(value: str, keep: Keep) -> str:
    bare = _text(value.strip('"').encode("utf-8", "surrogateescape")) if value.startswith('"') else value
    return value if not bare or is_fingerprint(bare) else f'"{keep(bare)}"'
