"""A route of the inspector: method, path, handler, and what the API's description says of it.

One rule: every route is one of these, so that the door, the description and the tests see the same list.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

__all__ = ["Handler", "Route"]

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """One route. `open`: it demands no token, because it gives nothing away. `media` is what it answers with."""

    method: str
    path: str
    handler: Handler
    summary: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, str] = field(default_factory=dict)
    media: str = "application/json"
    open: bool = False
