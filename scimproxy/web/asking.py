"""What the API's handlers share: values out of a request, bounded and checked, and answers as JSON.

One rule: a value that cannot be used is a UsageError that names the parameter; nothing is guessed.
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from scimproxy.errors import ScimproxyError, SyntaxProblem, UsageError
from scimproxy.query import Query, parse_query

__all__ = ["MOST_PAGE", "NotThere", "answer", "body", "filter_of", "name_of", "number", "problem"]

MOST_PAGE = 500
"""Exchanges in one page, at most."""

_LARGEST = 2**63 - 1


class NotThere(ScimproxyError):
    """There is no such run, exchange or resource."""


def answer(value: object, status: int = 200) -> web.Response:
    """Return a value as JSON."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return web.Response(
        body=text.encode("utf-8", "replace"), status=status, content_type="application/json", charset="utf-8"
    )


def problem(status: int, message: str, hint: str | None = None, position: int | None = None) -> web.Response:
    """Return what is wrong (RFC 9457)."""
    found: dict[str, Any] = {"title": message, "status": status}
    if hint is not None:
        found["hint"] = hint
    if position is not None:
        found["position"] = position
    return web.Response(body=json.dumps(found).encode(), status=status, content_type="application/problem+json")


def of_error(error: ScimproxyError) -> web.Response:
    """Return the answer that an error of the house means."""
    if isinstance(error, NotThere):
        return problem(404, error.message, error.hint)
    if isinstance(error, SyntaxProblem):
        return problem(400, error.message, error.hint, error.position)
    return problem(400 if isinstance(error, UsageError) else 503, error.message, error.hint)


def number(request: web.Request, name: str, *, default: int | None = None, most: int = _LARGEST) -> int | None:
    """Return a whole number from the query, from 0 to `most`; the default where it is not given.

    Raises:
        UsageError: it is none.
    """
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 18 or int(text) > most:
        raise UsageError(f"{name} is not a number from 0 to {most}", hint=f"write it like {name}=100")
    return int(text)


def name_of(request: web.Request, name: str) -> int:
    """Return the number in the path.

    Raises:
        NotThere: it is none, so nothing can be there.
    """
    text = request.match_info[name]
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise NotThere(f"there is no {name} {text[:40]!r}")
    return int(text)


def filter_of(request: web.Request) -> Query | None:
    """Return the filter of the query; None where there is none.

    Raises:
        SyntaxProblem: it does not parse.
    """
    text = request.query.get("filter", "").strip()
    return parse_query(text) if text else None


async def body(request: web.Request, **kinds: type) -> dict[str, Any]:
    """Return the members of a JSON object in the request's body that are there; each has to be of its kind, or null.

    Raises:
        UsageError: it is no JSON object, or has a member that is not known.
    """
    if request.content_type != "application/json":
        raise UsageError("the request is not JSON", hint="send Content-Type: application/json")
    try:
        found = json.loads(await request.read())
    except (ValueError, RecursionError) as exc:
        raise UsageError("the request is not JSON", hint="send an object") from exc
    if not isinstance(found, dict):
        raise UsageError("the request is not a JSON object")
    for member, value in found.items():
        if member not in kinds:
            raise UsageError(f"there is no member {member[:40]!r}", hint=f"there are {', '.join(kinds)}")
        if value is not None and not isinstance(value, kinds[member]):
            raise UsageError(f"{member} is not of the right kind", hint=f"it is a {kinds[member].__name__}, or null")
    return found
