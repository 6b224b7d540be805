"""The stateful mock: a `Directory` that speaks the recorded server's dialect and begins with what it had.

One rule: discovery is answered as it was recorded; everything else by the directory, so that requests nobody recorded
get the answers that server would give. Who comes without the credentials that worked then is refused as it refused.
Pure: clock and chance are handed in. Flow: Inferred -> Stateful; intervening.py -> `answer` -> Response.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from scimproxy.exchange import Content, Exchange, Headers, Request, Response
from scimproxy.mock.inferring import Inferred, Seed
from scimproxy.mock.recorded import Hit, Responder
from scimproxy.mock.words import Layout
from scimproxy.redact import redact
from scimproxy.scim.dialect import ERROR, Call, Refusal
from scimproxy.scim.directory import Directory

__all__ = ["Source", "Stateful"]

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_DISCOVERY = frozenset({"/ServiceProviderConfig", "/ResourceTypes", "/Schemas"})


@dataclass(frozen=True, slots=True)
class Source:
    """What a pure server cannot know: the time (Unix seconds), and numbers by chance below a limit."""

    clock: Callable[[], float]
    below: Callable[[int], int]


class Stateful:
    """Answers every SCIM request, as the recorded server would."""

    def __init__(self, inferred: Inferred, recorded: Responder, source: Source, *, any_token: bool = False) -> None:
        self._inferred = inferred
        self._recorded = recorded
        self._layout = Layout()
        self._guarded = bool(inferred.credentials) and not any_token
        self._last = inferred.ids.after
        self._below = source.below
        self.directory = Directory(clock=source.clock, new_id=self._new_id, dialect=inferred.dialect)
        self.unseeded: list[tuple[Seed, str]] = []
        """Resources that the directory refused, and why."""
        for seed in inferred.seeds:
            self._seed(seed)

    def _seed(self, seed: Seed) -> None:
        kinds = {kind.name: kind for kind in self.directory.dialect.resource_types}
        given = {"schemas": [kinds[seed.type_name].schema.id]}  # projections have none
        given |= {key: value for key, value in seed.resource.items() if key not in {"id", "meta"}}
        try:
            self.directory.seed(seed.type_name, given, resource_id=seed.id, created_at=_seconds(seed.created))
        except Refusal:
            given.pop("members", None)  # some may have been there and were never seen
            try:
                self.directory.seed(seed.type_name, given, resource_id=seed.id, created_at=_seconds(seed.created))
            except Refusal as exc:
                self.unseeded.append((seed, exc.detail))

    def _new_id(self) -> str:
        form = self._inferred.ids
        if form.kind == "number":
            self._last += 1
            return str(self._last)
        letters = _LETTERS if form.kind == "word" else "0123456789abcdef"
        length = 32 if form.kind == "uuid" else max(form.length, 12)
        made = "".join(letters[self._below(len(letters))] for _ in range(length))
        if form.kind == "uuid":
            made = f"{made[:8]}-{made[8:12]}-4{made[13:16]}-{'89ab'[self._below(4)]}{made[17:20]}-{made[20:]}"
        return made.upper() if form.upper else made

    def answer(self, request: Request, *, scheme: str = "http") -> Response:
        """Return the answer to a request."""
        place = self._layout.operation(request.path)
        if place.endpoint in _DISCOVERY and request.method in {"GET", "HEAD"}:
            found = self._recorded.answer(request, scheme=scheme)
            if isinstance(found, Hit):
                return found.response
        elif self._guarded and not self._may_enter(request):
            return self._unauthorized()
        base = (place.base_path or "") if place.is_scim else self._base
        host = request.headers.get("host") or "localhost"
        call = Call(
            request.method,
            request.path.removeprefix(base),
            request.query or "",
            request.headers,
            request.content.data,
            f"{scheme}://{host}{base}",
        )
        answer = self.directory.handle(call)
        return Response(answer.status, headers=answer.headers, content=Content.of(answer.content()))

    @property
    def _base(self) -> str:
        ((base, _),) = self._recorded.base_paths.most_common(1) or [("", 0)]
        return base

    def _may_enter(self, request: Request) -> bool:
        safe, _ = redact(Exchange(request=request, started_at=0.0))
        return safe.request.headers.get("authorization") in self._inferred.credentials

    def _unauthorized(self) -> Response:
        seen = self._inferred.unauthorized
        recorded = None if seen is None else seen.exchange.response
        if recorded is not None:
            kept = [pair for pair in recorded.headers if pair[0].lower() in {"content-type", "www-authenticate"}]
            return replace(recorded, headers=Headers(kept))
        body = {"schemas": [ERROR], "detail": "The credentials are missing or wrong", "status": "401"}
        headers = [("Content-Type", self._inferred.dialect.content_type), ("WWW-Authenticate", "Bearer")]
        return Response(401, headers=Headers(headers), content=Content.of(json.dumps(body).encode()))


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
