"""Exchanges as files: a table of formats, each a function from a run and its exchanges to pieces of bytes.

One rule: what is exported says what was recorded and not more; fingerprints of secrets become placeholders where a
person runs the result (`${SCIM_AUTH}`), and nothing a client sent can become shell syntax or a file name of curl.
Pure; the CLI writes the pieces to a file or to stdout. HAR itself is har.py's.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from scimproxy.errors import UsageError
from scimproxy.exchange import Content, Exchange, Headers, Request, Response, Run
from scimproxy.exports.hurl import hurl
from scimproxy.exports.locust_file import locust_file
from scimproxy.exports.postman import postman
from scimproxy.exports.pytest_file import pytest_file
from scimproxy.exports.runscope import runscope
from scimproxy.exports.secret_names import FINGERPRINT, SecretNames
from scimproxy.exports.variables import Plan, plan
from scimproxy.har import har_text

__all__ = ["FORMATS", "Format", "curl", "export", "pieces", "raw_request", "raw_response"]


@dataclass(frozen=True, slots=True)
class Format:
    """A format: its name, the suffix of its files, what it is, and the function that makes it."""

    name: str
    suffix: str
    what: str
    make: Callable[[Run, Iterable[Exchange]], Iterator[bytes]]


def export(run: Run, exchanges: Iterable[Exchange], format: str) -> bytes:  # noqa: A002 - the word of the command line
    """Return exchanges in a format of `FORMATS`; `pieces` is the same without holding all of it."""
    return b"".join(pieces(run, exchanges, format))


def pieces(run: Run, exchanges: Iterable[Exchange], format: str) -> Iterator[bytes]:  # noqa: A002 - see export
    """Yield exchanges in a format of `FORMATS`, piece by piece.

    Raises:
        UsageError: there is no such format.
    """
    found = FORMATS.get(format)
    if found is None:
        raise UsageError(f"there is no export format {format!r}", hint=f"there are {', '.join(FORMATS)}")
    return found.make(run, exchanges)


# -- har


def _har(run: Run, exchanges: Iterable[Exchange]) -> Iterator[bytes]:
    return (piece.encode() for piece in har_text(run, exchanges))


# -- raw


def raw_request(request: Request) -> bytes:
    """Return a request as HTTP/1.1 text; its content stands without transfer coding, as it was recorded."""
    return _head(f"{request.method} {request.target} HTTP/{request.http_version}", request.headers, request.content)


def raw_response(response: Response) -> bytes:
    """Return a response as HTTP/1.1 text; its content stands without transfer coding, as it was recorded."""
    start = f"HTTP/{response.http_version} {response.status_code} {response.reason}"
    return _head(start, response.headers, response.content)


def _head(start: str, headers: Headers, content: Content) -> bytes:
    lines = [start, *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace") + content.data


def _raw(_run: Run, exchanges: Iterable[Exchange]) -> Iterator[bytes]:
    mark = b""
    for exchange in exchanges:
        yield mark + b"===== " + _title(exchange).encode() + b"\n" + raw_request(exchange.request)
        if exchange.response is not None:
            yield b"\n----- answer\n" + raw_response(exchange.response)
        mark = b"\n\n"


# -- curl

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNSENDABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_PLAIN_TARGET = re.compile(r"/[!$-;=?-Z\[\]_a-z~|]*")
_PLAIN_HOST = re.compile(r"[A-Za-z0-9.-]+(?::[0-9]+)?|\[[0-9A-Fa-f:.]+\](?::[0-9]+)?")
_AS_ARGUMENT = 65_536
_VERSIONS = {"1.0": "--http1.0", "2": "--http2"}


def curl(exchange: Exchange, secrets: SecretNames | None = None) -> str:
    """Return a command for a POSIX shell that sends the request again: method, target, headers in order, body.

    curl writes Host first wherever it stood. Fields that curl cannot send are left out and named in a comment;
    so is the body where its recording was cut.
    """
    secrets = secrets or SecretNames()
    request = exchange.request
    notes: list[str] = []
    words = ["curl --silent --show-error --globoff --path-as-is", _VERSIONS.get(request.http_version, "--http1.1")]
    words += _method_and_url(exchange, secrets, notes)
    fields = _fields(request, secrets, notes)
    data, before = _data(request.content, secrets, notes)
    command = " \\\n  ".join([" ".join(words[:2]), *words[2:], *fields, *data])
    comment = "".join(f"# {note}\n" for note in notes)
    if before is None:
        return f"{comment}{command}\n"
    return f"{comment}base64 -d <<'SCIMPROXY' | {command}\n{before}SCIMPROXY\n"


def _method_and_url(exchange: Exchange, secrets: SecretNames, notes: list[str]) -> list[str]:
    request = exchange.request
    host = exchange.host or request.headers.get("Host") or ""
    if not _PLAIN_HOST.fullmatch(host):
        notes.append("the recording names no usable host: put yours in place of host.invalid")
        host = "host.invalid"
    origin = f"{'https' if exchange.scheme == 'https' else 'http'}://{host}"
    words: list[str] = []
    if request.method == "HEAD" and not request.content.data:
        words.append("--head")
    else:
        words.append(f"--request {_quoted(request.method, secrets)}")
    if _PLAIN_TARGET.fullmatch(request.target):
        return [*words, _quoted(origin + request.target, secrets)]
    return [*words, f"--request-target {_quoted(request.target, secrets)}", _quoted(f"{origin}/", secrets)]


def _fields(request: Request, secrets: SecretNames, notes: list[str]) -> list[str]:
    words: list[str] = []
    for name, value in request.headers:
        lowered = name.lower()
        if not _TOKEN.fullmatch(name) or _UNSENDABLE.search(value):
            notes.append(f"left out, because curl cannot send it: {_printable(name)}")
        elif lowered == "content-length" and value.strip() != str(len(request.content.data)):
            notes.append("Content-Length is left to curl: the recorded body has another length")
        elif lowered == "content-encoding" and request.content.redacted:
            notes.append("Content-Encoding is left out: the body is stored decoded, its secrets replaced")
        else:
            field = f"{name}: {value.strip()}" if value.strip() else f"{name};"
            words.append(f"--header {_quoted(field, secrets, credentials=lowered == 'authorization')}")
    # curl adds these by itself unless told not to.
    unwanted = ["Host", "Accept", "User-Agent"]
    if request.content.data:
        unwanted += ["Content-Type", "Expect"]
    return words + [f"--header '{name}:'" for name in unwanted if name not in request.headers]


def _data(content: Content, secrets: SecretNames, notes: list[str]) -> tuple[list[str], str | None]:
    """Return curl's words for the body, and the base64 lines it reads from its standard input, if any."""
    if content.truncated:
        notes.append(f"the recording holds {len(content.data)} of the body's {content.size} bytes")
    if not content.data:
        return [], None
    text = _argument(content.data)
    if text is not None:
        return [f"--data-binary {_quoted(text, secrets, wire=False)}"], None
    return ["--data-binary @-"], base64.encodebytes(content.data).decode("ascii")


def _argument(data: bytes) -> str | None:
    """Return a body as a text that can be an argument; None where it is binary, long, or would name a file."""
    if len(data) > _AS_ARGUMENT or data.startswith(b"@"):
        return None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if all(char.isprintable() or char in "\t\n" for char in text) else None


def _quoted(text: str, secrets: SecretNames, *, credentials: bool = False, wire: bool = True) -> str:
    """Return a text as one word of a POSIX shell, with fingerprints as variables.

    `wire`: the text stands for bytes in ISO-8859-1 (a target, a header); else it is UTF-8, like the script.
    """
    words: list[str] = []
    at = 0
    for match in FINGERPRINT.finditer(text):
        words += (
            _literal(text[at : match.start()], wire=wire),
            f'"${{{secrets.name(match[0], credentials=credentials)}}}"',
        )
        at = match.end()
    return "".join((*words, _literal(text[at:], wire=wire)))


def _literal(text: str, *, wire: bool) -> str:
    if not text:
        return ""
    if not wire or (text.isascii() and all(char.isprintable() or char == "\t" for char in text)):
        return "'" + text.replace("'", "'\\''") + "'"
    # Bytes above 127, as the wire had them: printf gives them whatever the coding of the terminal is.
    coded = "".join(_octal(byte) for byte in text.encode("latin-1", "replace"))
    return f"\"$(printf %b '{coded}')\""


def _octal(byte: int) -> str:
    char = chr(byte)
    return char if char.isascii() and char.isprintable() and char not in "'\\" else f"\\0{byte:03o}"


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:100])


def _title(exchange: Exchange) -> str:
    request, response = exchange.request, exchange.response
    number = "" if exchange.id is None else f"{exchange.id}: "
    answer = "no answer" if response is None else str(response.status_code)
    return _printable(f"{number}{request.method[:20]} {request.path} -> {answer}"[:200])


def _curl(run: Run, exchanges: Iterable[Exchange]) -> Iterator[bytes]:
    secrets = SecretNames()
    yield f"#!/bin/sh\n# {_printable(run.name)}: the requests as curl commands, one after the other\n".encode()
    known = 0
    for exchange in exchanges:
        command = curl(exchange, secrets)
        new = list(secrets.names.items())[known:]
        known += len(new)
        asked = "".join(f': "${{{name}:?set {name} to the secret behind {mark}}}"\n' for mark, name in new)
        yield f"\n# {_title(exchange)}\n{asked}{command}".encode()


# -- formats that are run again: ids, versions and names as variables


def _planned(spelled: Callable[[Plan], Iterator[str]]) -> Callable[[Run, Iterable[Exchange]], Iterator[bytes]]:
    def made(run: Run, exchanges: Iterable[Exchange]) -> Iterator[bytes]:
        return (piece.encode("utf-8", "backslashreplace") for piece in spelled(plan(run, exchanges)))

    return made


def _flows(run: Run, exchanges: Iterable[Exchange]) -> Iterator[bytes]:
    from scimproxy.imports.flows import flow_file  # noqa: PLC0415 - mitmproxy takes a second to import

    return flow_file(run, exchanges)


FORMATS: dict[str, Format] = {
    found.name: found
    for found in (
        Format("har", ".har", "HAR 1.2, lossless: read again by scimproxy, and by browsers and other tools", _har),
        Format("curl", ".sh", "a shell script of curl commands that send the same requests again", _curl),
        Format("raw", ".txt", "the messages as HTTP/1.1 text", _raw),
        Format("hurl", ".hurl", "a file for Hurl: ids captured from answers, statuses asserted", _planned(hurl)),
        Format(
            "pytest", ".py", "a file of tests for pytest: ids that answers give are fixtures", _planned(pytest_file)
        ),
        Format(
            "locust",
            ".py",
            "a locustfile: each virtual user sends the run again, with its own names",
            _planned(locust_file),
        ),
        Format(
            "postman",
            ".json",
            "a Postman collection (v2.1): ids are variables that test scripts set",
            _planned(postman),
        ),
        Format(
            "runscope",
            ".json",
            "a Runscope test: ids are extracted variables; `scimproxy run` runs it too",
            _planned(runscope),
        ),
        Format("mitmproxy", ".flows", "a flow file for mitmproxy, lossless: read again by scimproxy", _flows),
    )
}
"""Every format that `export` knows, by name."""
