from __future__ import annotations

import pytest

from scimproxy.tunnel.contract import Local, TunnelError, origin_of


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://abc.ngrok-free.app", "https://abc.ngrok-free.app"),
        ("https://ABC.example/scim/v2", "https://abc.example"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("https://abc.example.", "https://abc.example"),
        ("https://abc.example)", "https://abc.example"),
        (" https://abc.example:443 ", "https://abc.example:443"),
        ("abc.example", None),
        ("ftp://abc.example", None),
        ("https://", None),
        ("https://user@abc.example", None),
        ("https://abc.example:0", None),
        ("https://abc.example:99999", None),
        ("https://[::1", None),
    ],
)
def test_the_origin_of_a_public_url(text: str, origin: str | None) -> None:
    assert origin_of(text) == origin


def test_an_address_as_a_url() -> None:
    assert Local("127.0.0.1", 80).url == "http://127.0.0.1:80"
    assert Local("::1", 80).url == "http://[::1]:80"


def test_an_error_may_be_final_and_has_the_providers_code() -> None:
    error = TunnelError("no", hint="do", fatal=True, code="ERR_NGROK_1")
    assert (str(error), error.hint, error.fatal, error.code, error.exit_code) == ("no", "do", True, "ERR_NGROK_1", 3)
