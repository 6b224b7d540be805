"""The path of a PATCH operation (RFC 7644 section 3.5.2, figure 7): `attrPath / valuePath [subAttr]`.

One rule: only the grammar; whether the attribute exists is for those who know the schemas.
Flow: text -> parse_path -> PatchPath -> patch.py. Names and filters are read by syntax.Reader.
"""

from __future__ import annotations

from dataclasses import dataclass

from scimproxy.errors import SyntaxProblem
from scimproxy.scim.schemas import AttributePath
from scimproxy.scim.syntax import MAX_DEPTH, MAX_LENGTH, Filter, Reader

__all__ = ["PatchPath", "PathSyntaxError", "parse_path"]


class PathSyntaxError(SyntaxProblem):
    """A PATCH path does not parse; a server answers 400 `invalidPath`."""


@dataclass(frozen=True, slots=True)
class PatchPath:
    """Where a PATCH operation acts: `name.familyName`, `emails[type eq "work"]`, `emails[type eq "work"].value`.

    `sub` is the sub-attribute after square brackets; without them it is in `path`.
    """

    path: AttributePath
    filter: Filter | None = None
    sub: str | None = None

    def __str__(self) -> str:
        chosen = f"[{self.filter}]" if self.filter else ""
        return f"{self.path}{chosen}.{self.sub}" if self.sub else f"{self.path}{chosen}"


def parse_path(text: str, *, max_length: int = MAX_LENGTH, max_depth: int = MAX_DEPTH) -> PatchPath:
    """Return the parts of a PATCH path.

    Raises:
        PathSyntaxError: the text is not a path, too long, or its filter is too deep.
    """
    reader = Reader(text, what="path", problem=PathSyntaxError, max_length=max_length, max_depth=max_depth)
    path = reader.attribute_path()
    chosen = reader.value_filter(path) if reader.follows("[") else None
    sub = reader.name("a sub-attribute") if chosen and reader.take(".") else None
    if not reader.at_end():
        raise reader.fault(f"Expected the end of the path, found {reader.shown()}")
    return PatchPath(path, chosen, sub)
