"""XPath 1.0 over a response body, for `response_xml` (runscope.md 2.5: "any XPath").

One rule: a hostile body costs a bounded amount: no document type, so no entities; bounds on size, elements and depth.
XPath 1.0 knows no function that opens a file or an address. lxml is loaded when the first XPath is asked for; it
never sees the body, which expat reads.
Pure.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from xml.parsers import expat

from scimproxy.errors import SyntaxProblem
from scimproxy.suite.model import Json

if TYPE_CHECKING:
    from lxml import etree

__all__ = ["MissingXml", "XPathError", "find"]

MAX_BYTES: Final = 10_000_000
MAX_ELEMENTS: Final = 20_000
MAX_DEPTH: Final = 100
MAX_EXPRESSION: Final = 1000
MAX_WORK: Final = 10_000_000
"""How many visits of elements an expression may need at worst: each search through the document multiplies them."""

_SEARCH = re.compile(r"//|::|\.\.")


class XPathError(SyntaxProblem):
    """An expression that is no XPath 1.0, or that cannot be applied to this body."""


@dataclass(frozen=True, slots=True)
class MissingXml:
    """Why there is nothing to compare: the body is no XML, or the expression finds nothing in it."""

    message: str


class _Refused(Exception):
    """A document beyond a bound or with a document type; the text is a sentence."""


def find(body: bytes, expression: str) -> Json | MissingXml:
    """Return what an expression finds: text, a number or true/false; of several nodes the first one's text.

    The text of a node-set is that of its first node (XPath 1.0 section 4.2, `string`). Prefixes stand for nothing:
    names in a namespace are asked for with `local-name()`, as the vendor's examples do.

    Raises:
        XPathError: the expression is no XPath.
    """
    try:
        root = _parse(body)
    except (_Refused, expat.ExpatError, ValueError, LookupError) as exc:
        return MissingXml(f"The response body is not XML that can be searched: {exc}")
    if len(expression) > MAX_EXPRESSION:
        raise XPathError(f"an XPath longer than {MAX_EXPRESSION} characters", text=expression[:80], position=0)
    if sum(1 for _ in root.iter()) ** max(1, len(_SEARCH.findall(expression))) > MAX_WORK:
        return MissingXml("The response body has too many elements for an XPath of so many searches.")
    found = _apply(root, expression)
    if isinstance(found, list):
        if not found:
            # The words are those of JSON paths (INFERRED).
            return MissingXml(f"Unable to locate '{expression}' in XML.")
        return _text(found[0])
    if isinstance(found, float):
        return int(found) if found.is_integer() else found if math.isfinite(found) else str(found)
    return found if isinstance(found, bool) else str(found)


def _apply(root: etree._Element, expression: str) -> Any:  # noqa: ANN401 - whatever an XPath can give
    from lxml import etree  # noqa: PLC0415 - most suites have no XPath

    try:
        return root.getroottree().xpath(expression)
    except (etree.XPathError, ValueError) as exc:
        problem = f"'{expression}' is not an XPath 1.0 expression: {exc}"
        raise XPathError(problem, text=expression, position=0) from exc


def _text(node: Any) -> str:  # noqa: ANN401 - an element, a text, or a namespace as prefix and name
    if isinstance(node, str):
        return str(node)
    return node[1] if isinstance(node, tuple) else "".join(node.itertext())


def _parse(body: bytes) -> etree._Element:
    """Return the root of a document; comments and processing instructions are left out."""
    from lxml import etree  # noqa: PLC0415 - most suites have no XPath

    if len(body) > MAX_BYTES:
        raise _Refused(f"it is larger than {MAX_BYTES} bytes")
    builder = etree.TreeBuilder()
    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    depth = count = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth, count
        depth, count = depth + 1, count + 1
        if depth > MAX_DEPTH:
            raise _Refused(f"it nests deeper than {MAX_DEPTH} elements")
        if count > MAX_ELEMENTS:
            raise _Refused(f"it has more than {MAX_ELEMENTS} elements")
        builder.start(_name(tag), {_name(name): value for name, value in attributes.items()})

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(_name(tag))

    def refuse(*_: object) -> None:
        raise _Refused("it has a document type declaration")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    parser.Parse(body, True)  # noqa: FBT003 - expat takes no keyword here
    return builder.close()


def _name(name: str) -> str:
    return "{" + name if "}" in name else name
