"""Whether a recorded request is that of a suite's step, and what its variables were.

One rule: what the step says literally (method, URL, login, User-Agent, body) must have been sent; what it leaves to
variables is learned from what was sent. Other header fields do not decide: gateways and tunnels change them. Pure.
Place in the flow: recorded exchange -> `seen_of` -> `recognise` -> following.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, unquote_plus

from scimproxy.decode import charset_of, decode, text_of
from scimproxy.exchange import Exchange
from scimproxy.suite.model import Auth, HeaderValues, RequestStep
from scimproxy.suite.unify import MARK, names_in, unify, unify_credentials, unify_document

__all__ = ["Seen", "Sighting", "goes_here", "names_of", "recognise", "seen_of"]

_MOST_BODY = 1_000_000
"""A request with more than this is told by its head alone."""
_SUITES_AGENT = "okta scim integration"
"""What Okta's suites call themselves, on most of their GET steps (runscope.md 5)."""
_ORIGIN = re.compile(r"https?://[^/?#]*", re.IGNORECASE)
_SCIM = re.compile(
    r"(?:/[^/?]*)*?/(?:Users|Groups|ServiceProviderConfigs?|ResourceTypes|Schemas|Bulk|Me|Entitlements|Roles"
    r"|\.search)(?:[/?]|$)|$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A recorded request, read once for all the steps it may be. `body` None: it is not known, or too large."""

    method: str
    origin: str
    path: str
    query: str
    agent: str | None
    credentials: str | None = field(repr=False)
    body: str | None = field(repr=False)

    @property
    def url(self) -> str:
        """Where it went, as a person reads it."""
        return f"{self.origin}{self.path}" + (f"?{self.query}" if self.query else "")


@dataclass(frozen=True, slots=True)
class Sighting:
    """A step that was seen: values of variables that are new; whether a known one, of this run alone, was in it."""

    values: Mapping[str, str] = field(repr=False)
    is_bound: bool


def seen_of(exchange: Exchange) -> Seen:
    """Return a request as steps are compared with it."""
    request = exchange.request
    path, _, query = request.target.partition("?")
    content = request.content
    body = None
    if not content.truncated and len(content.data) <= _MOST_BODY:
        body = text_of(decode(content, request.headers).data, charset_of(request.headers)).text
    return Seen(
        method=request.method,
        origin=f"{exchange.scheme or 'http'}://{exchange.host or request.headers.get('Host') or ''}",
        path=path,
        query=query,
        agent=request.headers.get("User-Agent"),
        credentials=request.headers.get("Authorization"),
        body=body,
    )


def names_of(step: RequestStep, headers: HeaderValues = ()) -> dict[str, str]:
    """Return the variables that a step's request needs, each with the part of the request that does first."""
    parts = (
        ("url", (step.url, *(text for name, values in step.args for text in (name, *values)))),
        ("headers", tuple(value for _, values in (*headers, *step.headers) for value in values)),
        ("body", () if step.body is None else (step.body,)),
    )
    found: dict[str, str] = {}
    for part, texts in parts:
        for text in texts:
            for name in names_in(text):
                found.setdefault(name, part)
    return found


def goes_here(steps: list[RequestStep]) -> list[bool]:
    """Return which steps can come through a proxy of a SCIM server; others go to an Okta org, say.

    Steps are told by what their URL begins with: where one of those leads to a SCIM endpoint, the others do not.
    """
    bases = [_base(step.url) for step in steps]
    ours = {base for base, rest in bases if _SCIM.match(rest)}
    return [not ours or base in ours for base, _ in bases]


def _base(url: str) -> tuple[str, str]:
    found = re.match(rf"\s*(?:{MARK.pattern}|{_ORIGIN.pattern})", url)
    return ("", url) if found is None else (found[0].strip(), url[found.end() :])


def recognise(
    step: RequestStep, headers: HeaderValues, auth: Auth | None, seen: Seen, known: Mapping[str, str]
) -> Sighting | None:
    """Return what a request teaches if it is that of this step; None where it is another's.

    `headers` and `auth` are the environment's. `known` are the variables that this run is known to have.
    """
    found = unify(step.method.strip(), seen.method, known)
    if found is None or not _agent_fits(step, headers, seen):
        return None
    for part in (_url(step, seen, known), _login(step, headers, auth, seen, known), _body(step, seen, known)):
        if part is None:
            return None
        if any(found.get(name, value) != value for name, value in part.items()):
            return None
        found |= part
    base = set(names_in(_base(step.url)[0]))
    used = set(names_in(step.url)) | set(names_in(step.body or ""))
    return Sighting(found, not used.isdisjoint(known.keys() - base))


def _agent_fits(step: RequestStep, headers: HeaderValues, seen: Seen) -> bool:
    """Whether the User-Agent is the step's; one that only suites set is not of a step that sets none."""
    if seen.agent is None:
        return True
    agent = seen.agent.strip().lower()
    for fields in (step.headers, headers):
        for name, values in fields:
            if name.strip().lower() == "user-agent":
                return any(MARK.search(value) or value.strip().lower() == agent for value in values)
    return agent != _SUITES_AGENT


def _url(step: RequestStep, seen: Seen, known: Mapping[str, str]) -> dict[str, str] | None:
    path, mark, query = step.url.strip().partition("#")[0].partition("?")
    more = "&".join(f"{name}={value}" for name, values in step.args for value in values)
    query = "&".join(filter(None, (query, more)))
    origin = _ORIGIN.match(path)
    text = unquote(seen.path)
    if origin is not None:
        path = path[origin.end() :] or "/"
    elif MARK.match(path):
        text = seen.origin + text
    if not query and not mark and seen.query:
        # The URL may be one variable, its query within.
        return unify(path, f"{text}?{unquote(seen.query)}", known) if MARK.fullmatch(path) else None
    found = unify(unquote(path), text, known, barred="/?")
    if found is None:
        return None
    for read in (unquote, unquote_plus):
        asked = unify(read(query), read(seen.query), {**known, **found})
        if asked is not None:
            return found | asked
    return None


def _login(
    step: RequestStep, headers: HeaderValues, auth: Auth | None, seen: Seen, known: Mapping[str, str]
) -> dict[str, str] | None:
    for fields in (step.headers, headers):
        for name, values in fields:
            if name.strip().lower() == "authorization":
                text = ", ".join(values)
                return None if seen.credentials is None else unify_credentials(text, seen.credentials, known)
    is_told = step.auth is not None or auth is not None or "@" in _base(step.url)[0]
    return {} if is_told or seen.credentials is None else None


def _body(step: RequestStep, seen: Seen, known: Mapping[str, str]) -> dict[str, str] | None:
    if seen.body is None or step.form or step.graphql or step.multipart or step.binary:
        return {}
    if not step.body:
        return {} if not seen.body else None
    return unify_document(step.body, seen.body, known)
