from __future__ import annotations

import pytest

from scimproxy.tunnel.ngrok_errors import CODES, FATAL, clean, code_in, explain


@pytest.mark.parametrize("code", CODES)
def test_every_code_says_what_to_do(code: str) -> None:
    error = explain(f"authentication failed: something\r\n\r\n{code}\r\n")
    assert error.code == code
    assert code in error.message
    assert error.hint
    assert error.fatal is (code in FATAL)


def test_what_is_never_tried_again() -> None:
    assert {f"ERR_NGROK_{number}" for number in (4018, 105, 107, 108, 121, 725, 727)} == FATAL


def test_a_code_that_we_do_not_know() -> None:
    error = explain("this domain is not reserved for you. ERR_NGROK_320")
    assert (error.code, error.fatal) == ("ERR_NGROK_320", False)
    assert error.hint == "ngrok.com/docs/errors/err_ngrok_320 explains it"
    assert "not reserved" in error.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x509: certificate signed by unknown authority", "certificate of ngrok's servers is not accepted"),
        ("dial tcp: lookup connect.ngrok-agent.com: no such host", "ngrok's servers cannot be reached"),
        ("panic: something", "the ngrok agent failed: panic: something"),
        ("", "it said nothing"),
    ],
)
def test_what_has_no_code(text: str, said: str) -> None:
    error = explain(text)
    assert said in error.message
    assert not error.fatal
    assert error.hint


def test_tokens_are_taken_out() -> None:
    token = "2abcSECRETtoken"
    said = f"The authtoken you specified is malformed.\nYour authtoken: {token}\r\n"
    assert token not in clean(said)
    assert token not in clean(f"a {token} b", (token, ""))
    assert token not in explain(f"{said} ERR_NGROK_999").message
    assert clean(r"a\nb\rc   d") == "a b c d"
    assert len(clean("x" * 1000)) == 300


def test_the_last_code_counts() -> None:
    assert code_in("ERR_NGROK_1 ... ERR_NGROK_2") == "ERR_NGROK_2"
    assert code_in("nothing") is None
