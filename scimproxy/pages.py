"""The look that live pages and files share: one Jinja environment, one stylesheet, one policy of what a page may do.

One rule: a page loads nothing and runs nothing but what stands in it by its hash, and every value is escaped: a
recorded body is never markup. Place in the flow: templates/ -> here -> report pages, diff page, the inspector.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from scimproxy.amounts import duration, iso, plural, size, utc

__all__ = ["TEMPLATES", "environment", "file_page", "file_policy", "script", "style", "visible"]

TEMPLATES = Path(__file__).with_name("templates")
"""Where templates, the stylesheet (`look.css`) and the report's script (`report.js`) are."""

_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff\ufff9-\ufffb]"
)


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Return the environment of every template: everything escaped, what hides or reorders text made visible.

    Filters: `duration` (ms), `size` (bytes), `utc` and `iso` (Unix seconds), `plural(noun)` (a count).
    """
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    made.filters.update(duration=duration, size=size, utc=utc, iso=iso, plural=plural)
    return made


def visible(value: Any) -> Any:  # noqa: ANN401 - whatever a template prints
    """Return text with what could hide or reorder it shown as a replacement character; other values as they are."""
    return _UNSEEN.sub("\ufffd", value) if type(value) is str else value


@lru_cache(maxsize=1)
def style() -> str:
    """Return the stylesheet; live pages serve it as a file, pages that stand alone carry it."""
    return (TEMPLATES / "look.css").read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def script() -> str:
    """Return the report's script: search, folding, keys; the page is whole without it."""
    return (TEMPLATES / "report.js").read_text(encoding="utf-8")


def file_policy(*, with_script: bool = False) -> str:
    """Return the Content-Security-Policy of a page that stands alone: its own style and script by hash, no more."""
    runs = f"; script-src {_hash(script())}" if with_script else ""
    return f"default-src 'none'; base-uri 'none'; form-action 'none'; style-src {_hash(style())}{runs}"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def file_page(template: str, *, with_script: bool = False, **values: Any) -> str:  # noqa: ANN401 - what a template prints
    """Return a page that stands alone: it extends base.html, which puts style, script and policy into it."""
    return (
        environment()
        .get_template(template)
        .render(
            live=False,
            style=style(),
            script=script() if with_script else "",
            policy=file_policy(with_script=with_script),
            **values,
        )
    )
