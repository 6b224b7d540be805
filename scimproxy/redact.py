"""Secrets out of an exchange: the store gets fingerprints, the live process keeps what they stand for.

One rule: no byte of a redacted exchange holds a secret that is known by its place, and everything else stays byte
for byte: bodies are edited as text, never parsed and written again. Redacting twice changes nothing. A content
that had to be changed is kept *decoded* with `redacted=True`: its size is still what travelled, its sha256 that
of the stored bytes, and its headers stay as they travelled (Content-Encoding too; decode.py knows this).
Pure; the recorder and the importers call it before the store. Bodies are `secret_bodies`' work.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import fields, replace
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote, unquote_plus

from scimproxy.decode import charset_of, decode
from scimproxy.exchange import SECRET_HEADERS, Content, Exchange, Headers, Request, Response, fingerprint
from scimproxy.secret_bodies import Keep, edited, is_fingerprint, mentions, suspicious, without_comparisons

__all__ = ["SECRET_PARAMETERS", "redact", "redact_content", "redact_headers", "redact_target"]

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

_DECODED_LIMIT = 64 * 1024 * 1024
_BOMB_KEPT = 1024 * 1024
_ECHO_CHARS = 8

_SECRET_NAME = re.compile(
    r"(?:^|[-_])(?:token|secret|password|passwd|api-?key|authorization|credentials?)$", re.IGNORECASE
)
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
    found: dict[str, str] = {}
    keep = Keep(found)
    request = _request(exchange.request, keep)
    response = exchange.response
    if response is not None:
        response = _response(response, keep, _echoes(found))
    rest = _rest(exchange, keep, found)
    untouched = request is exchange.request and response is exchange.response
    if untouched and all(value == getattr(exchange, name) for name, value in rest.items()):
        return exchange, found
    return _copy(exchange, {"request": request, "response": response, **rest}), found


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


def _response(response: Response, keep: Keep, echoes: tuple[str, ...]) -> Response:
    headers = _without_echoes(redact_headers(response.headers, keep), echoes)
    content = redact_content(response.content, response.headers, keep, echoes)
    trailers = response.trailers if response.trailers is None else redact_headers(response.trailers, keep)
    if headers is response.headers and content is response.content and trailers is response.trailers:
        return response
    return replace(response, headers=headers, content=content, trailers=trailers)


def _echoes(found: dict[str, str]) -> tuple[str, ...]:
    """Return the secrets that an answer may repeat; what could be an ordinary word is left alone."""
    return tuple(secret for secret in found.values() if len(secret) >= _ECHO_CHARS and not secret.isalpha())


def _without_echoes(headers: Headers, echoes: tuple[str, ...]) -> Headers:
    if not any(echo in value for echo in echoes for _, value in headers):
        return headers
    return Headers((name, _replaced(value, echoes)) for name, value in headers)


def _replaced(text: str, echoes: tuple[str, ...]) -> str:
    for echo in echoes:
        text = text.replace(echo, fingerprint(echo))
    return text


# -- headers


_MOST_KNOWN = 256
_known: dict[int, tuple[Headers, Headers, dict[str, str]]] = {}


def redact_headers(headers: Headers, keep: Keep) -> Headers:
    """Return headers without credentials: those of the secret list, and URLs with secrets in all others.

    An engine that sees the same fields again and again passes the same object; what it became is remembered, in
    this process's memory only.
    """
    known = _known.get(id(headers))
    if known is None or known[0] is not headers:
        own: dict[str, str] = {}
        known = (headers, _headers(headers, Keep(own)), own)
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[id(headers)] = known
    keep.found.update(known[2])
    return known[1]


def _headers(headers: Headers, keep: Keep) -> Headers:
    pairs: list[tuple[str, str]] | None = None
    for at, (name, value) in enumerate(headers.pairs):
        work = _header_work(name)
        if work is not None:
            safe = work(value, keep)
        elif ("=" in value and ("?" in value or "#" in value)) or ("@" in value and "//" in value):
            safe = _url_text(value, keep)
        else:
            continue
        if safe != value:
            pairs = pairs if pairs is not None else list(headers.pairs)
            pairs[at] = (name, safe)
    return headers if pairs is None else Headers(pairs)


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
    return None


def _whole(value: str, keep: Keep) -> str:
    bare = value.strip()
    return value if not bare or is_fingerprint(bare) else keep(bare)


def _credentials(value: str, keep: Keep) -> str:
    """Keep the scheme word of `scheme credentials` (RFC 9110 section 11.4); a lone word is the secret itself."""
    scheme, space, secret = value.strip().partition(" ")
    if not space:
        return _whole(value, keep)
    return f"{scheme} {_whole(secret, keep)}"


def _cookies(value: str, keep: Keep) -> str:
    return ";".join(_cookie(part, keep) for part in value.split(";"))


def _cookie(part: str, keep: Keep) -> str:
    name, mark, secret = part.partition("=")
    if mark:
        return f"{name}={_whole(secret, keep)}"
    bare = part.strip()
    return part if not bare else part.replace(bare, _whole(bare, keep))


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
    text = _USERINFO.sub(lambda match: _userinfo(match, keep), text)
    return _PAIR_IN_TEXT.sub(lambda match: _pair(match[1], match[2], keep), text)


def _userinfo(match: re.Match[str], keep: Keep) -> str:
    info = match[1]
    user, colon, password = info.partition(":")
    if not info or is_fingerprint(info) or is_fingerprint(password):
        return match[0]
    return f"{user}:{keep(unquote(password))}@" if colon and password else f"{keep(unquote(info))}@"


def _secret_parameter(name: str) -> bool:
    return name.lower() in SECRET_PARAMETERS or _SECRET_NAME.search(name) is not None


def _pair(name: str, value: str, keep: Keep) -> str:
    """Return `name=value` with a secret value replaced; a `;` may part further pairs."""
    if _secret_parameter(unquote_plus(name)):
        secret = unquote_plus(value)
        return f"{name}={value if not secret or is_fingerprint(secret) else keep(secret)}"
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


def redact_content(content: Content, headers: Headers, keep: Keep, echoes: tuple[str, ...] = ()) -> Content:
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


def _stored(content: Content, data: bytes) -> Content:
    return replace(Content.of(data), size=content.size, redacted=True)


def _safe_bytes(data: bytes, headers: Headers, keep: Keep, echoes: tuple[str, ...], *, cut: bool) -> bytes:
    kind = (headers.get("content-type") or "").lower()
    safe = data
    if kind.startswith("application/x-www-form-urlencoded"):
        text = data.decode("latin-1")
        changed = _form(text, keep)
        safe = data if changed == text else changed.encode("latin-1")
    elif suspicious(data, cut=cut) or "utf-16" in kind or "utf-32" in kind:
        safe = edited(data, keep, charset=charset_of(headers), cut=cut)
    for echo in echoes:
        forms = [echo.encode("utf-8", "surrogateescape")]
        if not echo.isascii():
            forms.append(echo.encode("latin-1", "ignore"))
        for form in forms:
            if len(form) >= _ECHO_CHARS and form in safe:
                safe = safe.replace(form, fingerprint(echo).encode())
    return safe


# -- the other fields of an exchange


def _rest(exchange: Exchange, keep: Keep, found: dict[str, str]) -> dict[str, Any]:
    """Return those of the other fields that had to be changed."""
    changes: dict[str, Any] = {}
    if exchange.upstream_request_target is not None:
        changes["upstream_request_target"] = redact_target(exchange.upstream_request_target, keep)
    if exchange.upstream_request_headers is not None:
        changes["upstream_request_headers"] = redact_headers(exchange.upstream_request_headers, keep)
    if exchange.upstream_response_headers is not None:
        headers = redact_headers(exchange.upstream_response_headers, keep)
        changes["upstream_response_headers"] = _without_echoes(headers, _echoes(found))
    if exchange.failure is not None:
        message = _replaced(_url_text(exchange.failure.message, keep), _echoes(found))
        changes["failure"] = replace(exchange.failure, message=message)
    if exchange.rewrites:
        changes["rewrites"] = tuple(
            replace(one, before=_url_text(one.before, keep), after=_url_text(one.after, keep))
            for one in exchange.rewrites
        )
    if exchange.note:
        changes["note"] = _url_text(exchange.note, keep)
    if exchange.extra:
        changes["extra"] = tuple((name, _extra(name, text, keep)) for name, text in exchange.extra)
    return changes


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
    text = text if safe is data else safe.decode("utf-8", "surrogatepass")
    return _EXTRA_URL.sub(lambda match: redact_target(match[0], keep), text)


def _listed(part: str, name: str, value: str, keep: Keep) -> str:
    if part == "cookies":
        return _whole(value, keep)
    if part == "headers":
        return redact_headers(Headers([(name, value)]), keep).pairs[0][1]
    return _whole(value, keep) if _secret_parameter(name) else value
