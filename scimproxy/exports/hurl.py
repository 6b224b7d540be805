"""A run as a file for Hurl: ids are captured from answers, statuses are asserted.

One rule: whatever a client sent stands escaped, so that it can be neither a template, a section nor a comment
(Hurl's grammar: https://hurl.dev/docs/grammar.html). Variables are given to hurl from outside. Pure; reads a Plan.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

from scimproxy.exports.python_code import comment
from scimproxy.exports.templating import BASE_URL, FRESH, Ref, Text
from scimproxy.exports.variables import Capture, Plan, Send

__all__ = ["hurl"]


def hurl(plan: Plan) -> Iterator[str]:
    """Yield the file, piece by piece."""
    given = [f"--variable {BASE_URL}={comment(plan.base_url)}"]
    if plan.uses_server_url:
        given.append(f"--variable server_url={comment(plan.server_url)}")
    if plan.uses_fresh:
        given.append(f"--variable {FRESH}=$(date +%s)")
    given += [f'--secret {one.name}="${one.name}"' for one in plan.secrets]
    yield f"# {comment(plan.name)}: a recorded run of a SCIM client. Exported by scimproxy.\n#\n"
    yield "#   hurl --test --path-as-is \\\n"
    yield "".join(f"#     {one} \\\n" for one in given) + "#     FILE\n#\n"
    yield "# base_url is the SCIM server's; the digits of fresh make names new.\n"
    for one in plan.secrets:
        yield f"# {one.name}: the secret that was recorded as {one.mark}{' (any will do)' if one.optional else ''}\n"
    for send in plan.sends:
        yield "\n" + _entry(send)


def _entry(send: Send) -> str:
    lines = [f"# {send.number}: {comment(send.title)}", *(f"# {comment(note)}" for note in send.notes)]
    lines.append(f"{send.method} {_url(send.url)}")
    lines += [f"{_escaped(name, _KEY)}: {_templated(value, _VALUE)}" for name, value in send.headers]
    if send.data is not None:
        lines.append(f"base64,{base64.b64encode(send.data).decode('ascii')};")
    elif send.body is not None:
        lines.append(f"`{_templated(send.body, _TEXT)}`")
    lines.append(f"HTTP {'*' if send.status is None else send.status}")
    if send.captures:
        lines.append("[Captures]")
        lines += [f"{one.name}: {_query(one)}" for one in send.captures]
    return "\n".join(lines) + "\n"


_KEY = frozenset("#\\:")
_VALUE = frozenset("#\\")
_TEXT = frozenset("#\\`")
_TARGET = frozenset('#\\{}`"<>| ')


def _url(text: Text) -> str:
    # No escape of Hurl is allowed in a URL: what could be read otherwise is percent-encoded.
    return "".join(
        f"{{{{{one.name}}}}}"
        if isinstance(one, Ref)
        else "".join(f"%{ord(char):02X}" if char in _TARGET else char for char in one)
        for one in text
    )


def _templated(text: Text, odd: frozenset[str]) -> str:
    made: list[str] = []
    for one in text:
        if isinstance(one, Ref):
            if made and made[-1].endswith("{"):
                made[-1] = made[-1][:-1] + "\\u{7b}"  # a third brace before a template is no template
            made.append(f"{{{{{one.name}}}}}")
        else:
            made.append(_escaped(one, odd))
    return "".join(made)


def _escaped(text: str, odd: frozenset[str]) -> str:
    made = []
    for at, char in enumerate(text):
        if char in odd:
            made.append(f"\\{char}" if char in "#\\`" else f"\\u{{{ord(char):x}}}")
        elif (char == "{" and text[at - 1 : at] == "{") or not (char.isprintable() or char == "\t"):
            made.append(f"\\u{{{ord(char):x}}}")  # a lone brace stands as it is, two would be a template
        else:
            made.append(char)
    return "".join(made)


def _query(capture: Capture) -> str:
    last = ' regex "([^/]+)/*$"' if capture.last_segment else ""
    if not capture.pointer:
        return f'header "{_quoted(capture.header)}"{last}'
    path = "$" + "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in capture.pointer)
    return f'jsonpath "{_quoted(path)}"{last}'


def _quoted(text: str) -> str:
    return "".join(f"\\u{{{ord(char):x}}}" if char in '"\\{}' or not char.isprintable() else char for char in text)
