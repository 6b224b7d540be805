"""URLs and forms as Runscope sends them: encode what is illegal, leave everything else as the user wrote it.

One rule: the order of the query and escapes that are there already stay; `encode_url` of its own result changes
nothing. A blank becomes `%20` (INFERRED from the vendor's `url_encode` example; `+` would be a form's). Pure.
"""

from __future__ import annotations

import re
from urllib.parse import quote, urlencode

from scimproxy.suite.model import HeaderValues

__all__ = ["encode_form", "encode_url", "with_arguments"]

# Control characters, blank, what RFC 3986 appendix A has no place for, non-ASCII, and a % that begins no escape.
_ILLEGAL = re.compile(r"""[\x00-\x20"<>\\^`{|}\x7f-\U0010ffff]|%(?![0-9A-Fa-f]{2})""")
_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")


def encode_url(url: str) -> str:
    """Return a URL with what is illegal in its path, query and fragment percent-encoded as UTF-8.

    Blanks around the URL go. The host is left alone: how names beyond ASCII travel is for the client (RFC 5891).
    """
    url = url.strip()
    match = _AUTHORITY.match(url)
    start = match.end() if match else 0
    return url[:start] + _ILLEGAL.sub(lambda one: quote(one.group().encode("utf-8", "replace"), safe=""), url[start:])


def with_arguments(url: str, arguments: HeaderValues) -> str:
    """Return a URL with query parameters added at its end, encoded, before a fragment."""
    pairs = [f"{_part(name)}={_part(value)}" for name, values in arguments for value in values]
    if not pairs:
        return url
    head, mark, fragment = url.partition("#")
    joint = "" if head.endswith(("?", "&")) else "&" if "?" in head else "?"
    return f"{head}{joint}{'&'.join(pairs)}{mark}{fragment}"


def encode_form(fields: HeaderValues) -> str:
    """Return fields as application/x-www-form-urlencoded (WHATWG URL section 5.2), in their order."""
    return urlencode([(name, value) for name, values in fields for value in values], errors="replace")


def _part(text: str) -> str:
    return quote(text.encode("utf-8", "replace"), safe="")
