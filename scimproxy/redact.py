"""Secrets out of an exchange: the store gets fingerprints, the live process keeps what they stand for.

One rule: no byte of a redacted exchange holds a secret that is known by its place, and everything else stays byte
for byte: bodies are edited as text, never parsed and written again. Redacting twice changes nothing. A content
that had to be changed is kept *decoded* with `redacted=True`: its size is still what travelled, its sha256 that
of the stored bytes, and its headers stay as they travelled (Content-Encoding too; decode.py knows this).
Pure; the recorder and the importers call it before the store. Bodies are `secret_bodies`' work.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, unquote, unquote_plus

from scimproxy.decode import charset_of, decode
from scimproxy.echoes import Echo, echo_of
from scimproxy.exchange import SECRET_HEADERS, Content, Exchange, Headers, Request, Response, Rewrite
from scimproxy.passed import Passed
from scimproxy.secret_bodies import (
    JWT_BEGIN,
    SECRET_MEMBERS,
    SECRET_TEXTS,
    Keep,
    edited,
    hints,
    is_fingerprint,
    mentions,
    plain_name,
    suspicious,
    without_comparisons,
    without_jwts,
    without_jwts_in_text,
)

__all__ = [
    "SECRET_PARAMETERS",
    "redact",
    "redact_content",
    "redact_headers",
    "redact_passed",
    "redact_target",
    "redactions",
]

SECRET_PARAMETERS = frozenset(
    {
        "access_token",
        "api-key",
        "api_key",
        "apikey",
        "assertion",
        "auth",
        "auth_token",
        "authorization",
        "client_assertion",
        "client_secret",
        "code",
        "id_token",
        "jsessionid",
        "jwt",
        "key",
        "passwd",
        "password",
        "pwd",
        "refresh_token",
        "samlresponse",
        "secret",
        "session",
        "sessionid",
        "sig",
        "signature",
        "token",
        "x-amz-security-token",
        "x-amz-signature",
        "x-api-key",
    }
)
"""Lower-case names of query and form parameters whose values are credentials."""

_PLAIN_KINDS = frozenset({"application/scim+json", "application/json"})
_BINARY = ("application/octet-stream", "application/pdf", "application/zip", "audio/", "font/", "image/", "video/")
_DECODED_LIMIT = 64 * 1024 * 1024
_BOMB_KEPT = 1024 * 1024
_ECHO_CHARS = 8
_NAMES = frozenset({"password", "username", "displayname", "familyname", "givenname", "resources"})

_SECRET_NAME = re.compile(
    r"(?:^|[-_.])(?:(?:auth|access)?token|secret|password|passwd|pwd|jwt|assertion|session[-_]?id|authorization"
    r"|credentials?|(?:access|account|api|functions|secret|subscription)[-_]?key)$",
    re.IGNORECASE,
)
_SECRET_HEADER = re.compile(r"(?:^|[-_.])(?:[a-z]*key|auth|authentication|cert|certificate|cookie|session)$")
_OPEN_KEYS = frozenset(
    {"cache-key", "idempotency-key", "partition-key", "public-key", "routing-key", "sec-websocket-key", "sort-key"}
    | {"surrogate-key"}
)
"""Header fields whose keys are no secrets, without `x-`."""
_SCHEMES = frozenset(
    {"apikey", "aws4-hmac-sha256", "basic", "bearer", "digest", "dpop", "genie", "gnap", "hawk", "hmac", "hoba"}
    | {"jwt", "key", "mac", "mutual", "negotiate", "ntlm", "oauth", "privatetoken", "scram-sha-1", "scram-sha-256"}
    | {"sharedaccesssignature", "sharedkey", "splunk", "ssws", "token", "vapid"}
)
"""Lower-case words that name an authentication scheme (the IANA registry, and what is met beside it)."""
_FORM = re.compile(rb"\s{0,100}[\w.%\[\]$-]{1,200}=")
_PAIR = re.compile(r"(?<=[?&;#])([^=&;#?\s]{1,100})=([^&#]*)")
_PAIR_IN_TEXT = re.compile(r"(?<=[?&;#])([^=&;#?\s]{1,100})=([^&#\s>]*)")
# Each parameter name above holds one of these; a test compares them.
_HINTS = (
    "token",
    "secret",
    "pass",
    "pwd",
    "key",
    "code",
    "sig",
    "auth",
    "jwt",
    "sess",
    "assertion",
    "saml",
    "credential",
)
_CODED_LETTER = re.compile(r"%(?:4[1-9a-f]|[5-7])", re.IGNORECASE)
_EXTRA_URL = re.compile(r'https?://[^\s"\\]+')
_PATH_PAIR = re.compile(r"(?<=;)([^=;/]{1,100})=([^;/]*)")
_USERINFO = re.compile(r"(?<=//)([^/?#@\s]*)@")


def redact(exchange: Exchange) -> tuple[Exchange, dict[str, str]]:
    """Return the exchange without its secrets, and the secrets by fingerprint (for the live process only)."""
    changes, found = redactions(exchange)
    return (_copy(exchange, changes) if changes else exchange), found


def redactions(exchange: Exchange) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the fields that differ in the exchange without its secrets, and the secrets by fingerprint.

    For the hot path, which makes a row of both and needs no copy of the exchange.
    """
    found: dict[str, str] = {}
    keep = Keep(found)
    request = _request(exchange.request, keep)
    changes: dict[str, Any] = {} if request is exchange.request else {"request": request}
    response = exchange.response
    if response is not None:
        safe = _response(response, keep)
        if safe is not response:
            changes["response"] = safe
    rest = _rest(exchange, keep)
    return changes | {name: value for name, value in rest.items() if value != getattr(exchange, name)}, found


def redact_passed(it: Passed) -> Mapping[str, str]:
    """Take the secrets out, as `redact` does of an exchange: in place; return them by fingerprint.

    Its header fields are nearly always those of an exchange before; what those became is then taken as it lies.
    """
    fields = it.headers, it.response_headers, it.upstream_request_headers, it.upstream_response_headers
    key = (id(fields[0]), id(fields[1]), id(fields[2]), id(fields[3]))
    known = _blocks.get(key)
    if known is None:
        known = _Block(*fields)
        size = (it.wire_bytes or 0) + (it.response_wire_bytes or 0)
        if size - len(it.content.data) - len(it.response_content.data) <= _BIGGEST_KNOWN:
            if len(_blocks) >= _MOST_KNOWN:
                _blocks.clear()
            _blocks[key] = known
    keep = Keep({})
    target, asked, given = redact_target(it.target, keep), it.content, it.response_content
    if asked.data:
        asked = redact_content(asked, fields[0], keep)
    if given.data and not keep.found:
        given = (_plain_content if known.plain else redact_content)(given, fields[1], keep, known.echoes)
    if keep.found or it.upstream_request_target is not None or it.note is not None:
        return _redact_all(it)
    it.target, it.content, it.response_content = target, asked, given
    it.headers, it.response_headers = known.request, known.response
    it.upstream_request_headers, it.upstream_response_headers = known.sent, known.came
    return known.found


class _Block:
    """The four blocks of header fields of an exchange without their secrets, and what to look for in its answer."""

    __slots__ = ("came", "echoes", "found", "of", "plain", "request", "response", "sent")

    def __init__(self, request: Headers, response: Headers, sent: Headers | None, came: Headers | None) -> None:
        self.of = request, response, sent, came  # kept, so that their id() stays their own
        keep = Keep({})
        self.request = redact_headers(request, keep)
        self.echoes = _echoes(keep)
        self.response = _without_echoes(redact_headers(response, keep), self.echoes)
        self.sent = sent if sent is None else redact_headers(sent, keep)
        self.came = came if came is None else _answer_fields(came, keep)
        self.found: Mapping[str, str] = MappingProxyType(keep.found)
        self.plain = response.get("content-type") in _PLAIN_KINDS and "content-encoding" not in response


_blocks: dict[tuple[int, int, int, int], _Block] = {}


def _redact_all(it: Passed) -> dict[str, str]:
    found: dict[str, str] = {}
    keep = Keep(found)
    fields, answered = it.headers, it.response_headers
    it.target = redact_target(it.target, keep)
    it.headers = redact_headers(fields, keep)
    it.content = redact_content(it.content, fields, keep)
    it.response_headers, it.response_content = _answer(answered, it.response_content, keep)
    if it.upstream_request_target is not None:
        it.upstream_request_target = redact_target(it.upstream_request_target, keep)
    if it.upstream_request_headers is not None:
        it.upstream_request_headers = redact_headers(it.upstream_request_headers, keep)
    if it.upstream_response_headers is not None:
        it.upstream_response_headers = _answer_fields(it.upstream_response_headers, keep)
    if it.note is not None:
        it.note = _url_text(it.note, keep)
    return found


_SLOTS = tuple((getattr(Exchange, one.name).__get__, getattr(Exchange, one.name).__set__) for one in fields(Exchange))


def _copy(exchange: Exchange, changes: dict[str, Any]) -> Exchange:
    """Do what `dataclasses.replace` does in a third of the time: this is the hot path."""
    made = object.__new__(Exchange)
    for value_of, put in _SLOTS:  # past the frozen class: this object is not yet seen by anybody
        put(made, value_of(exchange))
    for name, value in changes.items():
        object.__setattr__(made, name, value)
    return made


# -- messages


def _request(request: Request, keep: Keep) -> Request:
    target = redact_target(request.target, keep)
    headers = redact_headers(request.headers, keep)
    content = redact_content(request.content, request.headers, keep)
    trailers = request.trailers if request.trailers is None else redact_headers(request.trailers, keep)
    if (
        target is request.target
        and headers is request.headers
        and content is request.content
        and trailers is request.trailers
    ):
        return request
    return Request(request.method, target, request.http_version, headers, content, trailers, request.wire_bytes)


def _response(response: Response, keep: Keep) -> Response:
    headers, content = _answer(response.headers, response.content, keep)
    trailers = response.trailers if response.trailers is None else redact_headers(response.trailers, keep)
    if headers is response.headers and content is response.content and trailers is response.trailers:
        return response
    return replace(response, headers=headers, content=content, trailers=trailers)


def _answer(headers: Headers, content: Content, keep: Keep) -> tuple[Headers, Content]:
    """Return headers and content of an answer without secrets, its own and those of the request (in `keep`)."""
    echoes = _echoes(keep) if keep.found else ()
    safe = _without_echoes(redact_headers(headers, keep), echoes)
    return safe, redact_content(content, headers, keep, echoes)


def _answer_fields(headers: Headers, keep: Keep) -> Headers:
    """Return header fields that came with an answer without secrets, their own and those in `keep`."""
    return _without_echoes(redact_headers(headers, keep), _echoes(keep))


def _echoes(keep: Keep) -> tuple[Echo, ...]:
    """Return the secrets that an answer may repeat: those of at least 8 characters.

    Left alone are the names of SCIM attributes (the password "password"), and words made of letters only where their
    place is a vague one (a cookie, `code`, `key`): they would take ordinary words out of answers.
    """
    words = keep.words
    return tuple(
        [
            echo_of(secret)
            for mark, secret in keep.found.items()
            if len(secret) >= _ECHO_CHARS and not (secret.isalpha() and (mark in words or secret.lower() in _NAMES))
        ]
    )


def _without_echoes(headers: Headers, echoes: tuple[Echo, ...]) -> Headers:
    if not echoes or not headers:
        return headers
    values = "\n".join([value for _, value in headers.pairs])
    if not any(echo.near(values) for echo in echoes):
        return headers
    pairs = tuple((name, _replaced(value, echoes)) for name, value in headers)
    return headers if pairs == headers.pairs else Headers(pairs)


def _replaced(text: str, echoes: tuple[Echo, ...]) -> str:
    for echo in echoes:
        text = echo.taken_from_text(text)
    return text


# -- headers


_MOST_KNOWN = 256
_BIGGEST_KNOWN = 16_384
"""Heads of more bytes are looked at each time: what is kept is kept by its objects, however big."""
_known: dict[int, tuple[Headers, Headers, Keep]] = {}


def redact_headers(headers: Headers, keep: Keep) -> Headers:
    """Return headers without credentials: those of the secret list, and URLs with secrets in all others.

    An engine that sees the same fields again and again passes the same object; what it became is remembered, in
    this process's memory only.
    """
    known = _known.get(id(headers))
    if known is None or known[0] is not headers:
        own = Keep({})
        known = (headers, _headers(headers, own), own)
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[id(headers)] = known
    if known[2].found:
        keep.take(known[2])
    return known[1]


def _headers(headers: Headers, keep: Keep) -> Headers:
    pairs: list[tuple[str, str]] | None = None
    for at, pair in enumerate(headers.pairs):
        name, value = pair
        work = _header_work(name)
        if work is not None:
            known = _fields.get(pair)
            safe, own = known if known is not None else _field(pair, work)
            keep.take(own)
        elif ("=" in value and ("?" in value or "#" in value)) or ("@" in value and "//" in value):
            safe = _url_text(value, keep)
        elif JWT_BEGIN in value:
            safe = without_jwts_in_text(value, keep)
        else:
            continue
        if safe != value:
            pairs = pairs if pairs is not None else list(headers.pairs)
            pairs[at] = (name, safe)
    return headers if pairs is None else Headers(pairs)


_MOST_FIELDS = 1024
_LONGEST_FIELD = 512
_fields: dict[tuple[str, str], tuple[str, Keep]] = {}


def _field(pair: tuple[str, str], work: Callable[[str, Keep], str]) -> tuple[str, Keep]:
    """Return what the value of a field became, and what was found in it: credentials stand in blocks that are new."""
    own = Keep({})
    known = work(pair[1], own), own
    if own.found and len(pair[1]) <= _LONGEST_FIELD:
        if len(_fields) >= _MOST_FIELDS:
            _fields.clear()
        _fields[pair] = known
    return known


@lru_cache(maxsize=1024)
def _header_work(name: str) -> Callable[[str, Keep], str] | None:
    lowered = name.lower()
    if lowered in {"authorization", "proxy-authorization"}:
        return _credentials
    if lowered == "cookie":
        return _cookies
    if lowered == "set-cookie":
        return _set_cookie
    if lowered in {"location", "content-location", "referer"}:
        return redact_target
    if lowered in SECRET_HEADERS or _SECRET_NAME.search(lowered):
        return _whole
    if _SECRET_HEADER.search(lowered) and lowered.removeprefix("x-") not in _OPEN_KEYS:
        return _vague
    return None


def _whole(value: str, keep: Keep) -> str:
    bare = value.strip()
    return value if not bare or is_fingerprint(bare) else keep(bare)


def _vague(value: str, keep: Keep) -> str:
    bare = value.strip()
    return value if not bare or is_fingerprint(bare) else keep.vague(bare)


def _credentials(value: str, keep: Keep) -> str:
    """Keep the scheme word of `scheme credentials` (RFC 9110 section 11.4), also where it stands behind them.

    Any other word is a part of the secret; a scheme alone is none.
    """
    bare = value.strip()
    scheme, space, secret = bare.partition(" ")
    if scheme.lower() in _SCHEMES:
        if scheme.lower() == "basic":
            _pair_of_basic(secret, keep)
        return f"{scheme} {_whole(secret, keep)}" if space else value
    first, space, scheme = bare.rpartition(" ")
    if space and scheme.lower() in _SCHEMES:
        return f"{_whole(first, keep)} {scheme}"
    return value if space and is_fingerprint(scheme) else _whole(value, keep)


def _pair_of_basic(coded: str, keep: Keep) -> None:
    """Remember the password inside basic credentials (RFC 7617), or the name where it stands alone: a token."""
    try:
        user, _, password = base64.b64decode(coded, validate=True).decode("utf-8", "surrogateescape").partition(":")
    except ValueError:
        return
    if len(password or user) >= _ECHO_CHARS:
        keep(password or user)


def _cookies(value: str, keep: Keep) -> str:
    return ";".join(_cookie(part, keep) for part in value.split(";"))


def _cookie(part: str, keep: Keep) -> str:
    name, mark, secret = part.partition("=")
    if mark:
        return f"{name}={_vague(secret, keep)}"
    bare = part.strip()
    return part if not bare else part.replace(bare, _vague(bare, keep))


def _set_cookie(value: str, keep: Keep) -> str:
    cookie, mark, attributes = value.partition(";")
    return _cookie(cookie, keep) + mark + attributes


# -- targets and URLs


def _hinted(target: str) -> bool:
    """Whether a target may hold a secret: the name of one, or letters hidden in percent codes. Cheap."""
    lowered = target.lower()
    for hint in _HINTS:
        if hint in lowered:
            return True
    return "%" in target and _CODED_LETTER.search(target) is not None


def redact_target(target: str, keep: Keep) -> str:
    """Return a request target or URL without secrets in its path parameters, query, fragment or user information."""
    if JWT_BEGIN in target:
        target = without_jwts_in_text(target, keep)
    if "@" in target and "//" in target:
        target = _USERINFO.sub(lambda match: _userinfo(match, keep), target)
    if "=" not in target or not _hinted(target):
        return target
    end = min(at for at in (target.find("?"), target.find("#"), len(target)) if at >= 0)
    path, query = target[:end], target[end:]
    if ";" in path:
        path = _PATH_PAIR.sub(lambda match: _pair(match[1], match[2], keep), path)
    return path + _PAIR.sub(lambda match: _pair(match[1], match[2], keep), query)


def _url_text(text: str, keep: Keep) -> str:
    if JWT_BEGIN in text:
        text = without_jwts_in_text(text, keep)
    text = _USERINFO.sub(lambda match: _userinfo(match, keep), text)
    return _PAIR_IN_TEXT.sub(lambda match: _pair(match[1], match[2], keep), text)


def _userinfo(match: re.Match[str], keep: Keep) -> str:
    info = match[1]
    user, colon, password = info.partition(":")
    if not info or is_fingerprint(info) or is_fingerprint(password):
        return match[0]
    return f"{user}:{keep(unquote(password))}@" if colon and password else f"{keep(unquote(info))}@"


def _secret_parameter(name: str) -> bool:
    return _named_secret(name) or name.lower() in SECRET_PARAMETERS


def _named_secret(name: str) -> bool:
    """Whether a name leaves no doubt, as `code` or `key` does."""
    plain = plain_name(name)
    return plain in SECRET_MEMBERS or plain in SECRET_TEXTS or _SECRET_NAME.search(name) is not None


def _pair(name: str, value: str, keep: Keep) -> str:
    """Return `name=value` with a secret value replaced; a `;` may part further pairs."""
    plain_text = unquote_plus(name).strip()
    if _secret_parameter(plain_text):
        secret = unquote_plus(value)
        if not secret or is_fingerprint(secret):
            return f"{name}={value}"
        return f"{name}={keep(secret) if _named_secret(plain_text) else keep.vague(secret)}"
    if "passw" in value.lower() or "%" in value:
        plain = unquote_plus(value)
        safe = without_comparisons(plain, keep)
        if safe != plain:
            return f"{name}={quote(safe, safe='')}"
    first, mark, rest = value.partition(";")
    if not mark:
        return f"{name}={value}"
    others = (part.partition("=") for part in rest.split(";"))
    return f"{name}={first};" + ";".join(_pair(n, v, keep) if eq else n for n, eq, v in others)


def _form(text: str, keep: Keep) -> str:
    pairs = (part.partition("=") for part in text.split("&"))
    return "&".join(_pair(name, value, keep) if mark else name for name, mark, value in pairs)


# -- contents


def redact_content(content: Content, headers: Headers, keep: Keep, echoes: tuple[Echo, ...] = ()) -> Content:
    """Return the content without secrets; the same object where there are none.

    A coded content is looked at decoded. What decodes past all measure is kept as its first MiB, decoded.
    """
    data = content.data
    if not data:
        return content
    problem = None
    coded = "content-encoding" in headers and not content.redacted
    if coded:
        decoded = decode(content, headers, limit=_DECODED_LIMIT)
        data, problem = decoded.data, decoded.problem
    safe = _safe_bytes(data, headers, keep, echoes, cut=content.truncated)
    if problem is not None:
        if len(data) >= _DECODED_LIMIT:
            return _stored(content, safe[:_BOMB_KEPT])
        if safe is data and data != content.data and mentions(content.data):
            # The coding is not what the header says, or readable bytes follow: what was decoded is all we can keep.
            safe = data or _safe_bytes(content.data, headers, keep, echoes, cut=True)
            return content if safe is content.data else _stored(content, safe)
    return content if safe is data else _stored(content, safe)


def _plain_content(content: Content, headers: Headers, keep: Keep, echoes: tuple[Echo, ...]) -> Content:
    """Do what `redact_content` does, in fewer steps, where the fields say that it is JSON and no more."""
    data = content.data
    if data[:1] != b"{" or hints(data, cut=content.truncated) != _NOTHING:
        return redact_content(content, headers, keep, echoes)
    for echo in echoes:
        data = echo.taken_from(data)
    return content if data is content.data else _stored(content, data)


_NOTHING = (False, False)


def _stored(content: Content, data: bytes) -> Content:
    return replace(Content.of(data), size=content.size, redacted=True)


def _safe_bytes(data: bytes, headers: Headers, keep: Keep, echoes: tuple[Echo, ...], *, cut: bool) -> bytes:
    kind = headers.get("content-type") or ""
    if kind not in _PLAIN_KINDS:
        kind = kind.lower()
    safe = data
    form = kind.startswith("application/x-www-form-urlencoded")
    if form or (data[:1] != b"{" and _FORM.match(data)):
        text = data.decode("latin-1")
        changed = _form(text, keep)
        safe = data if changed == text else changed.encode("latin-1")
    named, token = hints(safe, cut=cut)
    jsonish = data[:64].lstrip()[:1] in {b"{", b"["}  # `curl -d` calls every body a form
    if (form and not jsonish) or (kind.startswith(_BINARY) and not mentions(data)):
        pass  # a picture is not JSON in UTF-16, whatever its first bytes look like
    elif named or "utf-16" in kind or "utf-32" in kind:
        safe = edited(safe, keep, charset=charset_of(headers), cut=cut)
    if token:
        safe = without_jwts(safe, keep, cut=cut)
    for echo in echoes:
        safe = echo.taken_from(safe)
    return safe


# -- the other fields of an exchange


def _rest(exchange: Exchange, keep: Keep) -> dict[str, Any]:
    """Return those of the other fields that had to be changed."""
    changes: dict[str, Any] = {}
    if exchange.upstream_request_target is not None:
        changes["upstream_request_target"] = redact_target(exchange.upstream_request_target, keep)
    if exchange.upstream_request_headers is not None:
        changes["upstream_request_headers"] = redact_headers(exchange.upstream_request_headers, keep)
    if exchange.upstream_response_headers is not None:
        changes["upstream_response_headers"] = _answer_fields(exchange.upstream_response_headers, keep)
    if exchange.failure is not None:
        message = _replaced(_url_text(exchange.failure.message, keep), _echoes(keep))
        changes["failure"] = replace(exchange.failure, message=message)
    if exchange.rewrites:
        changes["rewrites"] = tuple(_rewrite(one, keep) for one in exchange.rewrites)
    if exchange.note:
        changes["note"] = _url_text(exchange.note, keep)
    if exchange.extra:
        changes["extra"] = tuple((name, _extra(name, text, keep)) for name, text in exchange.extra)
    return changes


def _rewrite(one: Rewrite, keep: Keep) -> Rewrite:
    """Redact what was changed on the way out: an address, or a whole content (`proxy.directing`), maybe cut."""
    if one.place == "content":
        return replace(
            one, before=_safe_bytes(one.before.encode(), Headers(), keep, _echoes(keep), cut=True).decode()
        )
    return replace(one, before=_url_text(one.before, keep), after=_url_text(one.after, keep))


def _extra(name: str, text: str, keep: Keep) -> str:
    """Redact a member of an imported file: JSON, and in HAR often a list of names and values."""
    part = name.rpartition(".")[2]
    if part in {"headers", "cookies", "queryString", "params"}:
        pairs = json.loads(text)
        for pair in pairs if isinstance(pairs, list) else ():
            if isinstance(pair, dict) and isinstance(pair.get("name"), str) and isinstance(pair.get("value"), str):
                pair["value"] = _listed(part, pair["name"], pair["value"], keep)
        safe_text = json.dumps(pairs)
        text = text if json.loads(text) == pairs else safe_text
    data = text.encode("utf-8", "surrogatepass")
    safe = edited(data, keep) if suspicious(data) else data
    text = without_jwts_in_text(text if safe is data else safe.decode("utf-8", "surrogatepass"), keep)
    return _EXTRA_URL.sub(lambda match: redact_target(match[0], keep), text)


def _listed(part: str, name: str, value: str, keep: Keep) -> str:
    if part == "cookies":
        return _vague(value, keep)
    if part == "headers":
        return redact_headers(Headers([(name, value)]), keep).pairs[0][1]
    return _whole(value, keep) if _secret_parameter(name) else value
