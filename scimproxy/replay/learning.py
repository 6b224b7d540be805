"""What the answers of a replay teach: which id, name and version of the recording is which on the server of now.

One rule: only partners teach (the recorded answer and that to the same request now), both of them successes; a
resource in a list is known by what is bound, then by its name, then by an equal id, and by its place only where the
client reads it and never writes to it. Pure. Flow: replayer.py tells each pair -> Bindings, versions, unmade.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from scimproxy.bind import EXTERNAL, Bindings, type_of
from scimproxy.bodies import Seen
from scimproxy.replay.names import Names
from scimproxy.replay.spots import FIXED, answered, asked, endpoint_and_id, kind_of
from scimproxy.scim.filters import member

__all__ = ["Learner"]

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_HOLDERS = (("members", "User"), ("groups", "Group"), ("manager", "User"))

type _Kind = Callable[[Any], str]


class Learner:
    """Fills the bindings. `versions` are entity tags by (type, id of then); `unmade` ids whose making failed now."""

    def __init__(self, bindings: Bindings, names: Names, run: Sequence[Seen]) -> None:
        self._bindings = bindings
        self._names = names
        self._used: dict[tuple[str, str], bool] = {}
        self.versions: dict[tuple[str, str], dict[str, str]] = {}
        self.unmade: set[tuple[str, str]] = set()
        for it in run:
            reads = it.exchange.request.method in _READS
            for spot in asked(it):
                if spot.role in {"id", "member"}:
                    key = (spot.kind, spot.value)
                    self._used[key] = self._used.get(key, True) and reads

    def learn(self, a: Seen, b: Seen) -> None:
        """Take in a recorded exchange and the one that repeated it."""
        then, now = a.exchange.response, b.exchange.response
        if then is None or then.status_code >= 400:
            return
        if now is None or now.status_code >= 400:
            self._lost(a)
            return
        own = (a.operation.endpoint or "").strip("/")
        kind = kind_of(a)
        one = endpoint_and_id(_path(then.headers.get("Location")), own)
        two = endpoint_and_id(_path(now.headers.get("Location")), own)
        if one[0] == two[0] and one[1] and two[1]:
            self._same(type_of(one[0]), one[1], two[1])
        number = a.operation.resource_id or one[1]
        self._version((kind, number), then.headers.get("ETag"), now.headers.get("ETag"))
        self._document(a.response.value, b.response.value, kind)

    def _lost(self, a: Seen) -> None:
        if a.operation.kind in {"create", "bulk"}:
            ids = {(one.kind, one.value) for one in answered(a) if one.role == "id"}
            self.unmade |= {key for key in ids if self._bindings.b_of(*key) is None}

    def _same(self, kind: str, a: str, b: str) -> None:
        if kind not in FIXED and self._bindings.same(kind, a, b):
            self.unmade.discard((kind, a))

    def _version(self, of: tuple[str, str], a: object, b: object) -> None:
        if isinstance(a, str) and isinstance(b, str):
            self.versions.setdefault(of, {})[_opaque(a)] = _opaque(b)

    # --- documents

    def _document(self, a: Any, b: Any, kind: str) -> None:  # noqa: ANN401 - JSON
        for name in ("Resources", "Operations"):
            one, two = member(a, name), member(b, name)
            if isinstance(one, list) and isinstance(two, list):
                if name == "Resources":
                    for left, right in self._pairs(one, two, "id", lambda it: _kind(it, kind)):
                        self._resource(left, right, kind)
                else:
                    self._operations(one, two)
                return
        self._resource(a, b, kind)

    def _resource(self, a: Any, b: Any, kind: str) -> None:  # noqa: ANN401
        if not isinstance(a, dict) or not isinstance(b, dict):
            return
        kind = _kind(a, kind)
        one, two = _text(a, "id"), _text(b, "id")
        if one and two:
            self._same(kind, one, two)
        self._version((kind, one), member(member(a, "meta"), "version"), member(member(b, "meta"), "version"))
        for name in ("userName", "displayName"):
            self._name(member(a, name), member(b, name))
        for left, right in zip(_list(a, "emails"), _list(b, "emails"), strict=False):
            self._name(member(left, "value"), member(right, "value"))
        one, two = _text(a, "externalId"), _text(b, "externalId")
        if one and two and self._names.is_servers(one):
            self._bindings.same(EXTERNAL, one, two)
        for name, default in _HOLDERS:
            self._references(_list(a, name), _list(b, name), default)

    def _name(self, a: object, b: object) -> None:
        if isinstance(a, str) and isinstance(b, str) and a and b and self._names.is_servers(a):
            self._bindings.sent(a, b)

    def _references(self, a: list[Any], b: list[Any], default: str) -> None:

        def kind(it: object) -> str:
            return _referenced(it, default)

        for left, right in self._pairs(a, b, "value", kind):
            self._same(kind(left), _text(left, "value"), _text(right, "value"))

    def _operations(self, a: list[Any], b: list[Any]) -> None:
        """The answers to the operations of a bulk request, by bulkId, else in their order (RFC 7644 section 3.7)."""
        named = {_text(it, "bulkId"): it for it in b if _text(it, "bulkId")}
        for at, left in enumerate(a):
            right = named.get(_text(left, "bulkId")) or (b[at] if at < len(b) else None)
            one, two = (endpoint_and_id(_path(_text(it, "location"))) for it in (left, right))
            if not one[1]:
                continue
            key = (type_of(one[0]), one[1])
            if one[0] == two[0] and two[1]:
                self._same(*key, two[1])
            elif self._bindings.b_of(*key) is None:
                self.unmade.add(key)
            self._version(key, member(left, "version"), member(right, "version"))

    # --- pairs

    def _renamed(self, name: str) -> str:
        found = self._bindings.renamed(name)
        return (found if found != name else self._bindings.renamed(name.casefold())).casefold()

    def _pairs(self, a: list[Any], b: list[Any], name: str, kind: _Kind) -> list[tuple[Any, Any]]:
        """Pair the elements of two lists; `name` is the member that holds the id."""
        found: list[tuple[Any, Any]] = []
        ids_b = {_text(it, name): at for at, it in enumerate(b) if _text(it, name)}
        left, right = dict(enumerate(a)), dict(enumerate(b))

        def take(one: int, two: int | None) -> None:
            if two is not None and two in right:
                found.append((left.pop(one), right.pop(two)))

        for at, it in enumerate(a):
            bound = self._bindings.b_of(kind(it), _text(it, name))
            if bound is not None:
                take(at, ids_b.get(bound))
                left.pop(at, None)  # it is known, and not there: nobody else is it
        names_b = {_called(it): at for at, it in reversed(right.items()) if _called(it)}
        for at, it in list(left.items()):
            take(at, names_b.get(self._renamed(_called(it, fold=False))))
        for at, it in list(left.items()):
            take(at, ids_b.get(_text(it, name)))
        for at, it in list(left.items()):
            if self._used.get((kind(it), _text(it, name))):
                take(at, at)
        return found


def _path(url: str | None) -> str:
    return (url or "").partition("?")[0]


def _opaque(tag: str) -> str:
    return tag.removeprefix("W/").strip('"')


def _text(node: object, name: str) -> str:
    """Return an id or another text; some servers write ids as numbers."""
    found = member(node, name)
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    return found if isinstance(found, str) else ""


def _list(node: object, name: str) -> list[Any]:
    found = member(node, name)
    return found if isinstance(found, list) else [found] if isinstance(found, dict) else []


def _called(node: object, *, fold: bool = True) -> str:
    found = _text(node, "userName") or _text(node, "displayName") or _text(node, "display")
    return found.casefold() if fold else found


def _kind(node: object, default: str) -> str:
    told = member(member(node, "meta"), "resourceType")
    return told if default in FIXED and isinstance(told, str) else default


def _referenced(node: object, default: str) -> str:
    told = _text(node, "type").capitalize()
    return told if told in {"User", "Group"} else default
