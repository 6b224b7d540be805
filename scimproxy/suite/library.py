"""Suites' files: those that come with scimproxy, by name, and those that a user names; bounded in their size.

Each bundled one is in Runscope's format, so it imports there too.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

from scimproxy.errors import FormatError, UsageError
from scimproxy.suite.model import Suite
from scimproxy.suite.runscope import parse

__all__ = ["LARGEST", "bundled", "choose_test", "find_suite", "read_as", "read_bounded", "tests_of"]

LARGEST = 20_000_000
"""Bytes of a suite's file, at most."""

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


def read_bounded(path: Path) -> bytes:
    """Return what a file holds.

    Raises:
        UsageError: it cannot be read.
        FormatError: it is larger than any suite.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror or exc}") from exc
    if len(data) > LARGEST:
        raise FormatError(f"{path} is larger than {LARGEST // 1_000_000} MB")
    return data


def read_as[T](source: str, read: Callable[[bytes], T], data: bytes) -> T:
    """Return what a reader makes of data; its FormatError is raised with the source's name before it."""
    try:
        return read(data)
    except FormatError as exc:
        raise FormatError(f"{source}: {exc.message}", hint=exc.hint) from exc


def tests_of(data: bytes, source: str) -> tuple[Suite, ...]:
    """Return the tests of a suite's file.

    Raises:
        FormatError: it is none.
    """
    return read_as(source, parse, data)


def choose_test(tests: tuple[Suite, ...], name: str | None, source: str) -> Suite:
    """Return the test of this name or id, or the only one.

    Raises:
        UsageError: there is none, or several and no name.
    """
    if name is None:
        if len(tests) == 1:
            return tests[0]
        raise UsageError(
            f"{source} holds {len(tests)} tests",
            hint="choose with --test: " + ", ".join(repr(one.name) for one in tests),
        )
    for test in tests:
        if name in {test.name, test.id}:
            return test
    raise UsageError(
        f"{source} holds no test {name!r}", hint=f"it holds {', '.join(repr(one.name) for one in tests)}"
    )
