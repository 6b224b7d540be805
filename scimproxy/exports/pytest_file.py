"""A run as one file of tests for pytest: each request a test, ids that answers give as fixtures.

One rule: the file needs pytest and the standard library alone, passes against the server that was recorded and one
like it, and holds no secret and no code that came over the wire. Pure; reads a Plan (variables.py).
"""

from __future__ import annotations

from collections.abc import Iterator

from scimproxy.exports.python_code import SUPPORT, comment, expression, function_name
from scimproxy.exports.templating import BASE_URL, FRESH
from scimproxy.exports.variables import Capture, Plan, Send

__all__ = ["pytest_file"]

_HEAD = '''\
"""{name}: a recorded run of a SCIM client as tests, one a request, in their order. Exported by scimproxy.

    SCIM_BASE_URL=http://127.0.0.1:8000/scim/v2 SCIM_AUTH=TOKEN pytest {file}

SCIM_BASE_URL says where the server is; SCIM_FRESH, which digits go into names that have to be new (the time by
itself; empty: the names as they were recorded). Ids are taken from answers as they come, so run the whole file.
{more}"""

import base64
import http.client
import json
import os
import time
import urllib.parse

import pytest

SCIM_BASE_URL = os.environ.get("SCIM_BASE_URL", {base_url}).rstrip("/")
FRESH = os.environ.get("SCIM_FRESH", str(time.time_ns() // 1_000_000))
TIMEOUT_S = 60


{support}

class Answer:
    """What the server answered."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.text = response.read().decode("utf-8", "replace")

    def at(self, *pointer):
        """Return the value at a place of the JSON answer."""
        value = json.loads(self.text)
        for one in pointer:
            value = value[one]
        return value

    def header(self, name):
        """Return a header field that has to be there."""
        assert name in self.headers, f"the answer has no {{name}}: {{self}}"
        return self.headers[name]

    def __repr__(self):
        return f"<{{self.status}} {{self.text[:2000]}}>"


def send(method, url, headers=(), body=None):
    """Send one request on a connection of its own; follow nothing."""
    parts = urllib.parse.urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=TIMEOUT_S)
    try:
        target = (parts.path or "/") + (f"?{{parts.query}}" if parts.query else "")
        data = body.encode("utf-8") if isinstance(body, str) else body
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        if data is not None or method in {{"POST", "PUT", "PATCH"}}:
            connection.putheader("Content-Length", str(len(data or b"")))
        connection.endheaders(data)
        return Answer(connection.getresponse())
    finally:
        connection.close()


@pytest.fixture(scope="module")
def base_url():
    """The base URL of the SCIM server."""
    return SCIM_BASE_URL


@pytest.fixture(scope="module")
def server_url():
    """The server without its base path."""
    return "{{0.scheme}}://{{0.netloc}}".format(urllib.parse.urlsplit(SCIM_BASE_URL))


@pytest.fixture(scope="module")
def fresh():
    """Digits that make names new."""
    return FRESH


@pytest.fixture(scope="module")
def taken():
    """What the answers gave so far, by name."""
    return {{}}


def earlier(taken, name):
    """Return what an earlier answer gave; without it, the test cannot be run."""
    if name not in taken:
        pytest.skip(f"no earlier test took {{name}} from its answer")
    return taken[name]
'''

_ASKED_FOR = '''

@pytest.fixture(scope="module")
def {name}():
    """The secret that was recorded as {mark}."""
    value = os.environ.get("{name}"){default}
    assert value, "set {name} to the secret behind {mark}"
    return value
'''

_CAPTURED = '''

@pytest.fixture
def {name}(taken):
    """{value} in the recording."""
    return earlier(taken, "{name}")
'''


def pytest_file(plan: Plan) -> Iterator[str]:
    """Yield the file, piece by piece."""
    needed = [one for one in plan.secrets if not one.optional]
    more = "".join(f"{one.name} is the secret that was recorded as {one.mark}.\n" for one in needed)
    yield _HEAD.format(
        name=comment(plan.name), file="FILE", more=more, base_url=ascii(plan.base_url), support=SUPPORT
    )
    for secret in plan.secrets:
        default = f' or "Zq7-{secret.mark[7:]}"  # any will do' if secret.optional else ""
        yield _ASKED_FOR.format(name=secret.name, mark=secret.mark, default=default)
    values = {capture.name: capture.value for send in plan.sends for capture in send.captures}
    for name in plan.captured:
        yield _CAPTURED.format(name=name, value=comment(values[name][:80]))
    for send in plan.sends:
        yield "\n\n" + _test(send)


def _test(send: Send) -> str:
    fixtures = [*(name for name in (BASE_URL, FRESH) if name in send.needs())]
    fixtures += [name for name in send.needs() if name not in fixtures]
    if send.captures:
        fixtures.append("taken")
    lines = [f"def {function_name('test', send.number, send.title)}({', '.join(fixtures)}):"]
    lines.append(f'    """{comment(send.title)}."""')
    lines += [f"    # {comment(note)}" for note in send.notes]
    lines += ["    answer = send(", f"        {send.method!r},", f"        {expression(send.url)},"]
    if send.headers:
        pairs = "".join(f"            ({name!a}, {expression(value)}),\n" for name, value in send.headers)
        lines.append(f"        headers=[\n{pairs}        ],")
    if send.data is not None:
        lines.append(f"        body=base64.b64decode({_base64(send.data)}),")
    elif send.body is not None:
        lines.append(f"        body={expression(send.body)},")
    lines.append("    )")
    if send.status is not None:
        lines.append(f"    assert answer.status == {send.status}, answer")
    lines += [f"    taken[{one.name!r}] = {_capture(one)}" for one in send.captures]
    return "\n".join(lines) + "\n"


def _capture(capture: Capture) -> str:
    if capture.pointer:
        found = f"str(answer.at({', '.join(ascii(one) for one in capture.pointer)}))"
    else:
        found = f"answer.header({capture.header!a})"
    if capture.last_segment:
        return f'urllib.parse.unquote({found}.rstrip("/").rpartition("/")[2])'
    return found


def _base64(data: bytes) -> str:
    import base64  # noqa: PLC0415 - bodies that are no text are rare

    return ascii(base64.b64encode(data).decode("ascii"))
