from __future__ import annotations

import socket
import ssl
from contextlib import closing

import pytest
import trustme
from listeners import CONFIG, free_port, http, listener

from scimproxy.probe import Answer, NoAnswer, ask, speaks_tls
from scimproxy.proxy.engine import Target


def target(port: int, scheme: str = "http", base_path: str = "/scim/v2") -> Target:
    return Target(scheme, "127.0.0.1", port, base_path)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_a_scim_server() -> None:
    asked: list[str] = []
    with listener(lambda path: (asked.append(path), http(200, CONFIG))[1]) as port:
        answer = ask(target(port), "/ServiceProviderConfig", token="t")
    assert answer == Answer(200, "application/scim+json", is_scim=True)
    assert asked == ["/scim/v2/ServiceProviderConfig"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"schemas":"x"}', b'{"schemas":["urn:other"]}', b"[" * 100_000]
)
def test_what_is_not_scim(body: bytes) -> None:
    with listener(lambda _: http(200, body)) as port:
        answer = ask(target(port), "/ServiceProviderConfig")
    assert isinstance(answer, Answer)
    assert not answer.is_scim


def test_scim_1_is_told_by_its_members() -> None:
    body = b'{"schemas":["urn:scim:schemas:core:1.0"],"authenticationSchemes":[]}'
    with listener(lambda _: http(200, body)) as port:
        answer = ask(target(port), "/ServiceProviderConfig")
    assert isinstance(answer, Answer)
    assert answer.is_scim


def test_nobody_there() -> None:
    answer = ask(target(free_port()), "/x")
    assert isinstance(answer, NoAnswer)
    assert answer.kind == "connection"


def test_it_closes_without_a_word() -> None:
    with listener(lambda _: b"") as port:
        assert ask(target(port), "/x") == NoAnswer("http", "it closes the connection")


def test_it_speaks_something_else() -> None:
    with listener(lambda _: b"SSH-2.0-OpenSSH_9\r\n\r\n") as port:
        assert ask(target(port), "/x") == NoAnswer("http", "its first line is not HTTP")


def test_an_answer_that_is_not_whole_http() -> None:
    with listener(lambda _: b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 300 + b"\r\n") as port:
        answer = ask(target(port), "/x")
    assert isinstance(answer, NoAnswer)
    assert answer.kind == "http"


def test_it_never_answers() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        answer = ask(target(silent.getsockname()[1]), "/x", timeout_s=0.2)
    assert answer == NoAnswer("connection", "no answer within 0.2 s")


def test_plain_http_to_a_tls_port(tls: ssl.SSLContext) -> None:
    with listener(lambda _: http(200, CONFIG), tls=tls) as port:
        assert isinstance(ask(target(port), "/x"), NoAnswer)
        assert speaks_tls(target(port))


def test_a_tls_port_that_says_so_in_plain_text() -> None:
    page = b"<html>400 The plain HTTP request was sent to HTTPS port</html>"
    with listener(lambda _: http(400, page, media_type="text/html")) as port:
        assert ask(target(port), "/x") == NoAnswer("http", "it wants TLS")


def test_tls_to_a_plain_port() -> None:
    with listener(lambda _: http(400)) as port:
        answer = ask(target(port, "https"), "/x")
        assert isinstance(answer, NoAnswer)
        assert answer.not_tls
        assert not speaks_tls(target(port))


def test_a_certificate_that_nobody_signed(tls: ssl.SSLContext) -> None:
    with listener(lambda _: http(200, CONFIG), tls=tls) as port:
        answer = ask(target(port, "https"), "/x")
    assert isinstance(answer, NoAnswer)
    assert answer.kind == "certificate"


def test_tls_that_works(
    tls: ssl.SSLContext,
    authority: trustme.CA,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    file = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with listener(lambda _: http(200, CONFIG), tls=tls) as port:
        answer = ask(target(port, "https"), "/x")
    assert isinstance(answer, Answer)
    assert answer.tls == "TLSv1.3"


def test_nobody_speaks_tls_there() -> None:
    assert not speaks_tls(target(free_port()))
