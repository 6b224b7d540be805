"""The user's masks: places whose differences do not matter: `meta.created`, `header:x-*`, `/response/body/a`.

One rule: a mask covers a place and what is in it, in both messages, and nothing else; what it covers is still found,
and judged noise with the mask as the reason. Pure. Flow: texts -> Masks -> runs.py applies them as differences
are found, so that no masked ones crowd out others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from scimproxy.bodies import Seen
from scimproxy.diff.differences import Difference
from scimproxy.errors import SyntaxProblem, UsageError
from scimproxy.scim.filters import Filter, matches_element
from scimproxy.scim.paths import parse_path

__all__ = ["Masks"]

_MOST = 1_000
_LONGEST = 1_000
_AROUND = frozenset({"resources", "operations", "data", "response", "value"})
"""Names around resources: of a list, of a PATCH, of a bulk request and its answer."""
_HINT = 'write it like meta.created, emails[type eq "work"].value, header:X-Name, query:count or /response/body/a/*'


@dataclass(frozen=True, slots=True)
class _Mask:
    """A mask: by pointer, by names of a header or parameter (`*` stands for anything), or by a path of attributes.

    `names` are in small letters but for pointers; of a path with a filter, `at` counts the names before it.
    """

    text: str
    kind: Literal["pointer", "headers", "query", "path"]
    names: tuple[str, ...]
    filter: Filter | None = None
    at: int = 0


class Masks:
    """What the user wants to know nothing of."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Read masks.

        Raises:
            UsageError: one of them cannot be read, or there are too many.
        """
        self._masks = tuple(_read(text) for text in texts)
        if len(self._masks) > _MOST:
            raise UsageError(f"there are {len(self._masks):,} masks; up to {_MOST:,} are taken")

    @classmethod
    def from_file(cls, text: str) -> Iterator[str]:
        """Give the masks in a file's text: one on each line, without empty ones and those that begin with `#`."""
        for line in text.splitlines():
            if (mask := line.strip()) and not mask.startswith("#"):
                yield mask

    def applied(self, one: Difference, a: Seen) -> Difference:
        """Return the difference, judged noise where a mask covers it; `a` is the exchange whose places it names."""
        found = next((mask for mask in self._masks if _covers(mask, one, a)), None)
        return one if found is None else replace(one, verdict="noise", reason=f"masked by --mask {found.text}")


def _read(text: str) -> _Mask:
    if len(text) > _LONGEST:
        raise UsageError(f"a mask is longer than {_LONGEST} characters", hint=_HINT)
    for kind, prefix in (("headers", "header:"), ("query", "query:")):
        if text.lower().startswith(prefix) and text[len(prefix) :].strip():
            return _Mask(text, kind, (text[len(prefix) :].strip().lower(),))  # type: ignore[arg-type]  # mypy widens
    if text.startswith("/"):
        names = tuple(part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/"))
        if names[0] not in {"request", "response", "failure", "*"}:
            raise UsageError(
                f"the mask {text!r} leads nowhere",
                hint="pointers begin with /request or /response, as diff prints them",
            )
        return _Mask(text, "pointer", names)
    try:
        path = parse_path(text)
    except SyntaxProblem as exc:
        raise UsageError(f"the mask {text!r} cannot be read: {exc.message}", hint=_HINT) from exc
    schema = [path.path.schema] if path.path.schema and ":core:" not in path.path.schema.lower() else []
    before = [name.lower() for name in (*schema, path.path.name, path.path.sub) if name]
    after = [path.sub.lower()] if path.sub else []
    return _Mask(text, "path", (*before, *after), path.filter, len(before))


def _covers(mask: _Mask, one: Difference, a: Seen) -> bool:
    if not one.pointer:
        return False
    if mask.kind == "pointer":
        parts = [part.replace("~1", "/").replace("~0", "~") for part in one.pointer[1:].split("/")]
        if parts[1:2] == ["headers"]:
            return _begins(tuple(part.lower() for part in parts), tuple(name.lower() for name in mask.names))
        return _begins(tuple(parts), mask.names)
    if one.names[1:2] != (mask.kind if mask.kind != "path" else "body",):
        return False
    if mask.kind != "path":
        return _alike(mask.names[0], one.names[2])
    inner = one.names[2:]
    for skipped in range(len(inner)):
        if inner[skipped : skipped + len(mask.names)] == mask.names:
            return mask.filter is None or _chosen(mask.filter, one, a, skipped + mask.at)
        if inner[skipped] not in _AROUND:
            break
    return False


def _begins(place: tuple[str, ...], names: tuple[str, ...]) -> bool:
    return len(place) >= len(names) and all(name in {part, "*"} for part, name in zip(place, names, strict=False))


def _alike(pattern: str, name: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name) is not None


def _chosen(wanted: Filter, one: Difference, a: Seen, depth: int) -> bool:
    """Return whether the element of a list, `depth` names deep, in which the difference is satisfies a filter."""
    body = a.request if one.names[0] == "request" else a.response
    node: Any = body.value
    parts = [part.replace("~1", "/").replace("~0", "~") for part in one.pointer.split("/")[3:]]
    for at, part in enumerate(parts):
        if isinstance(node, dict) and part in node and depth:
            node, depth = node[part], depth - 1
        elif isinstance(node, list) and part.isdecimal():
            added = one.op == "add" and at == len(parts) - 1  # an index of B
            node = one.b if added else node[int(part)]
            if not depth:
                return matches_element(wanted, node, None)
        else:
            return False
    return False
