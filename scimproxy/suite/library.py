"""The suites that come with scimproxy, by name. Each is a file in Runscope's format, so it imports there too."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from scimproxy.errors import UsageError

__all__ = ["bundled", "find_suite"]

_FOLDER = Path(__file__).with_name("bundled")


def bundled() -> dict[str, Path]:
    """Return the bundled suites by name."""
    return {path.stem: path for path in sorted(_FOLDER.glob("*.json"))}


def find_suite(text: str) -> Path:
    """Return the file that the user named: a path, or the name of a bundled suite.

    Raises:
        UsageError: there is neither.
    """
    path = Path(text)
    names = bundled()
    if path.is_file():
        return path
    if text in names:
        return names[text]
    near = get_close_matches(text, names, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    raise UsageError(
        f"there is no file {text!r} and no bundled suite of that name{meant}", hint="`scimproxy suites` lists them"
    )
