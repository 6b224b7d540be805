"""A run to take along: one zip with the report, a HAR, the suite that made it, and how to play it again.

One rule: nothing goes into it that the report may not show: the exchanges are the report's, and the suite's file
loses the values of secrets and the personal values.
Place in the flow: report -> files -> `scimproxy report --bundle`.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO

from scimproxy.exchange import SECRET_HEADERS, Run
from scimproxy.suite.masking import secret_names

__all__ = ["readme", "suite_text", "write"]

_TEMPLATE = re.compile(r"(?:[A-Za-z]+ )?\{\{[^{}]*\}\}")


def write(out: BinaryIO, files: Mapping[str, Iterable[str]]) -> None:
    """Write a zip of texts."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, pieces in files.items():
            with made.open(name, "w") as file:
                for piece in pieces:
                    file.write(piece.encode("utf-8", "replace"))


def suite_text(data: bytes, rewrite: Callable[[str], str]) -> str:
    """Return a suite's file (Runscope's JSON) without secrets, its texts rewritten; it imports as before.

    What refers to a variable (`Bearer {{auth}}`) is no secret and stays.
    """
    return json.dumps(_without(json.loads(data), rewrite, secret=False), indent=2, ensure_ascii=False) + "\n"


def _without(value: Any, rewrite: Callable[[str], str], *, secret: bool) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        named = secret_names(value)
        return {
            name: _without(one, rewrite, secret=secret or name in named or name.lower() in SECRET_HEADERS)
            for name, one in value.items()
        }
    if isinstance(value, list):
        return [_without(one, rewrite, secret=secret) for one in value]
    if isinstance(value, str):
        return "" if secret and not _TEMPLATE.fullmatch(value.strip()) else rewrite(value)
    return value


def readme(run: Run, names: Iterable[str], *, kept_names: bool) -> str:
    """Return what README.txt says."""
    there = set(names)
    lines = [
        f"{run.name}: a run recorded by scimproxy",
        "",
        "report.html   open it in a browser; it needs no network",
        "run.har       every request and answer (HAR 1.2)",
    ]
    if "suite.json" in there:
        lines.append("suite.json    the suite that made the run; it imports into Runscope, too, without its secrets")
    lines += [
        "",
        "Names and addresses are as they were recorded." if kept_names else "Names and addresses are pseudonyms.",
        "Tokens and passwords are fingerprints: give your own where a server asks for one.",
        "",
        "Play it again:",
        "",
        "  scimproxy import run.har --name shared        read it as a run; then log, show, search, diff work",
        "  scimproxy mock shared                         a server that answers as the recorded one did",
        "  scimproxy replay shared --to URL              send the requests to another server",
    ]
    if "suite.json" in there:
        lines.append("  scimproxy run suite.json --target URL         run the suite on another server")
    return "\n".join([*lines, ""])
