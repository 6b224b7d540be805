"""A request as Runscope would send it: from the filled-in parts of a step to a Request and the origin to send it to.

One rule: what is legal goes out as it was written. Only what is illegal in a URL is percent-encoded; order, existing
escapes and the case of header names stay (runscope.md 9). Pure: text in, values out.
Place in the flow: runner fills the templates -> a script may edit the draft -> `compose` -> Send.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from scimproxy.errors import UsageError
from scimproxy.exchange import Content, Headers, Request
from scimproxy.suite.model import HeaderValues
from scimproxy.suite.templates import request_error
from scimproxy.suite.urls import encode_form, encode_url

__all__ = ["DEFAULT_USER_AGENT", "Draft", "basic_credentials", "compose", "graphql_body"]

DEFAULT_USER_AGENT = "runscope-radar/2.0"
"""What Runscope calls itself where a step does not say otherwise (runscope.md 5, CONFIRMED)."""

_URL = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#]+)(?P<rest>[^#]*)", re.IGNORECASE | re.DOTALL)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A request with its templates filled in, as scripts see and may change it."""

    method: str
    url: str
    headers: HeaderValues = field(default=(), repr=False)
    body: str | None = field(default=None, repr=False)
    form: HeaderValues = field(default=(), repr=False)


def compose(draft: Draft, *, user_agent: str = DEFAULT_USER_AGENT) -> tuple[Request, str]:
    """Return the request and its origin.

    Raises:
        UsageError: the draft is no HTTP request; the message has Runscope's words where it is known to have some.
    """
    url = encode_url(draft.url)
    if not url:
        raise UsageError("Unable to execute empty request")
    found = _URL.fullmatch(url.partition("#")[0])
    if found is None:
        raise UsageError(
            request_error("url", f"{url[:200]!r} is not an http or https URL"),
            hint="does the base URL variable hold a URL with http:// or https://?",
        )
    authority = found["authority"]
    headers = [(name, value) for name, values in draft.headers for value in values]
    if "@" in authority:
        login, _, authority = authority.rpartition("@")
        if not _has(headers, "authorization"):
            headers.append(("Authorization", basic_credentials(*_login(login))))
    method = draft.method.strip()
    if not _TOKEN.fullmatch(method):
        raise UsageError(request_error("method", f"{method[:50]!r} is not an HTTP method"))
    data = _data(draft, headers)
    if not _has(headers, "user-agent"):
        headers.append(("User-Agent", user_agent))
    target = found["rest"]
    if not target.startswith("/"):
        target = f"/{target}"
    request = Request(method, target, headers=_checked(headers), content=Content.of(data))
    return request, f"{found['scheme'].lower()}://{authority}"


def basic_credentials(username: str, password: str) -> str:
    """Return the value of an Authorization field (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def graphql_body(query: Mapping[str, Any]) -> str:
    """Return the JSON body of a GraphQL request (member names INFERRED, runscope.md 1.3)."""
    return json.dumps(dict(query), ensure_ascii=False)


def _data(draft: Draft, headers: list[tuple[str, str]]) -> bytes:
    if draft.form:
        if not _has(headers, "content-type"):
            headers.append(("Content-Type", "application/x-www-form-urlencoded"))
        return encode_form(draft.form).encode()
    # A body of "" sends nothing: Okta's DELETE steps have one (runscope.md 1.3).
    return (draft.body or "").encode("utf-8", "replace")


def _has(headers: list[tuple[str, str]], wanted: str) -> bool:
    return any(name.lower() == wanted for name, _ in headers)


def _login(text: str) -> tuple[str, str]:
    name, _, password = text.partition(":")
    return unquote(name), unquote(password)


def _checked(headers: list[tuple[str, str]]) -> Headers:
    pairs = []
    for name, value in headers:
        name, value = name.strip(), value.strip()  # noqa: PLW2901 - old exports have blanks at the ends
        if not _TOKEN.fullmatch(name):
            raise UsageError(request_error("headers", f"{name[:50]!r} is not a header name"))
        if _CONTROL.search(value):
            raise UsageError(request_error("headers", f"the value of {name} holds a control character"))
        pairs.append((name, value.encode("utf-8", "replace").decode("latin-1")))
    return Headers(pairs)
