from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimproxy.suite import xpath
from scimproxy.suite.xpath import MissingXml, XPathError, find

SOAP = b"""<?xml version="1.0"?>
<s:Envelope xmlns:s="urn:s"><!-- c --><s:Body><r xmlns="urn:r"><City kind="big">Graz</City><City>Linz<b>!</b></City>
<n>7</n></r></s:Body></s:Envelope>"""


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("//*[local-name()='City']/text()", "Graz"),  # the vendor's example (runscope.md 2.5)
        ("//*[local-name()='City'][2]", "Linz!"),
        ("//*[local-name()='City']/@kind", "big"),
        ("count(//*[local-name()='City'])", 2),
        ("number(//*[local-name()='n']) div 2", 3.5),
        ("1 div 0", "inf"),
        ("//*[local-name()='n'] = 7", True),
        ("//*[. = 7]", "7"),
        ("0.5", 0.5),
        ("number('x')", "nan"),
        ("/*/namespace::xml", "http://www.w3.org/XML/1998/namespace"),
        ("string(//*[local-name()='n'])", "7"),
        ("concat('a', 'b')", "ab"),
        ("2 + 3", 5),
    ],
)
def test_finds(expression: str, value: Any) -> None:
    found = find(SOAP, expression)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("expression", ["//City", "/nope", "//*[local-name()='Town']"])
def test_misses(expression: str) -> None:
    assert find(SOAP, expression) == MissingXml(f"Unable to locate '{expression}' in XML.")


@pytest.mark.parametrize(
    "expression",
    ["///", "//x:City", "document('/etc/passwd')", "doc('http://h/')", "1 idiv 0", "(" * 900, "//a[", "", "x" * 1001],
)
def test_refuses_what_is_no_xpath(expression: str) -> None:
    with pytest.raises(XPathError, match="XPath"):
        find(SOAP, expression)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no element found"),
        (b"{}", "not well-formed"),
        (b"<a>", "no element found"),
        (b"<a></b>", "mismatched tag"),
        (b'<?xml version="1.0" encoding="nope"?><a/>', "unknown encoding"),
        (b"\xff\xfe\x00", "XML"),
        (b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "document type"),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "document type"),
        (b"<a>&lol;</a>", "undefined entity"),
        (b"<a>" * (xpath.MAX_DEPTH + 1), "deeper than"),
        (b"<a>" + b"<b/>" * xpath.MAX_ELEMENTS + b"</a>", "more than"),
    ],
)
def test_a_body_that_cannot_be_searched(body: bytes, words: str) -> None:
    found = find(body, "/a")
    assert isinstance(found, MissingXml)
    assert words in found.message


def test_a_body_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xpath, "MAX_BYTES", 10)
    assert "larger than 10 bytes" in str(find(b"<a>       </a>", "/a"))


def test_searches_within_searches_are_bounded() -> None:
    """An expression that would visit 3,200 x 3,200 elements is refused at once."""
    body = b"<a>" + b"<b/>" * 3200 + b"</a>"
    begun = time.process_time()
    found = find(body, "//*[count(//*) > count(//b)]")
    assert isinstance(found, MissingXml) and "too many elements" in found.message
    assert find(body, "count(//b)") == 3200
    assert time.process_time() - begun < 30  # a hang, not a speed


@given(
    st.binary(max_size=40) | st.text(alphabet="<>/ab!&;'\" ?", max_size=30).map(str.encode),
    st.text(alphabet="/ab*[]@().'=1 |", max_size=8),
)
def test_never_anything_else(body: bytes, expression: str) -> None:
    try:
        found = find(body, expression)
    except XPathError:
        return
    assert isinstance(found, MissingXml | str | int | float | bool)
