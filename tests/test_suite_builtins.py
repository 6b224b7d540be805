from __future__ import annotations

import hashlib
import hmac
import random
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimproxy.suite.builtins import FACTS, FUNCTIONS, Builtins, FunctionProblem, Piece

NOW = 1383852281.418968  # 2013-11-07T19:24:41.418968, the vendor's example


def builtins(**changes: Any) -> Builtins:
    return Builtins(**{"now": lambda: NOW, "random_below": random.Random(1).randrange, **changes})


def call(text: str, given_: Builtins | None = None) -> str | None:
    made = (given_ or builtins()).call([Piece(text)])
    return None if made is None else made.text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # Every row is in the vendor's table (runscope.md 3.1); values by hand or from coreutils' md5sum, sha1sum, ...
        ("timestamp", "1383852281"),
        ("timestamp()", "1383852281"),  # INFERRED: with empty parentheses as without
        ("utc_datetime", "2013-11-07T19:24:41.418968"),
        ("utc_datetime()", "2013-11-07T19:24:41.418968"),
        ("format_timestamp(1383852281, YYYY-MM-DD)", "2013-11-07"),
        ("format_timestamp(1383852281, DD.MM.YY, hh:mm:ss)", "07.11.13, 07:24:41"),
        ("format_timestamp(1383852281.9,HHmm)", "1924"),
        ("format_timestamp(0, hh YYYY)", "12 1970"),
        ("format_timestamp(-1, YYYY)", "1969"),
        ("timestamp_offset(3600)", "1383855881"),
        ("timestamp_offset(-81)", "1383852200"),
        ("random_int(5,5)", "5"),
        ("random_string(0)", ""),
        ("encode_base64(user:pass)", "dXNlcjpwYXNz"),
        ("encode_base64()", ""),
        ("md5(abc)", "900150983cd24fb0d6963f7d28e17f72"),
        ("sha1(abc)", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        ("sha256(abc)", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "hmac_sha1(what do ya want for nothing?, Jefe)",
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
        ),  # RFC 2202 case 2
        (
            "hmac_sha256(what do ya want for nothing?, Jefe)",  # RFC 4231 case 2
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        ("url_encode(This is 100%)", "This%20is%20100%25"),
        ("url_encode(a/ä~)", "a%2F%C3%A4~"),
        ("url_encode(a(b)c)", "a%28b%29c"),  # parentheses within an argument belong to it
    ],
)
def test_values(text: str, value: str) -> None:
    assert call(text) == value


def test_chance() -> None:
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", call("uuid") or "")
    assert call("uuid") == call("uuid()")
    assert re.fullmatch(r"[A-Za-z0-9]{1000}", call("random_string(1000)") or "")
    assert call("random_int", builtins(random_below=lambda n: n - 1)) == "18446744073709551615"
    assert call("random_int()", builtins(random_below=lambda _: 0)) == "0"
    assert call("random_int(-3, 4)", builtins(random_below=lambda n: n - 1)) == "4"
    assert call("random_int(-3, 4)", builtins(random_below=lambda _: 0)) == "-3"


@pytest.mark.parametrize("name", FACTS)
def test_facts(name: str) -> None:
    assert call(name) == ""
    assert call(f" {name} ", builtins(facts={name: "x"})) == "x"


def test_what_the_runner_hands_in() -> None:
    given_ = builtins(secrets={"k": "s3cret"}, incoming_url={"t": "http://h/t"}.get)
    assert given_.call([Piece("get_secret( k )")]) == Piece("s3cret", is_value=True, is_secret=True)
    assert call("incoming_url(t)", given_) == "http://h/t"
    assert "s3cret" not in repr(given_)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("random_int(a, 2)", "random_int: 'a' is not a whole number"),
        ("random_int(1, 2.5)", "random_int: '2.5' is not a whole number"),
        ("random_int(3, 2)", "random_int: 3 is greater than 2"),
        ("random_int(3)", "random_int(a, b): one argument given"),
        ("random_string(1001)", "random_string: a length of 0 to 1000, not 1001"),
        ("random_string(-1)", "random_string: a length of 0 to 1000, not -1"),
        ("random_string()", "random_string: '' is not a whole number"),
        ("timestamp_offset(x)", "timestamp_offset: 'x' is not a whole number"),
        ("timestamp(1)", "timestamp(): one argument given"),
        ("timestamp(1,2)", "timestamp(): 2 arguments given"),
        ("format_timestamp(1)", "format_timestamp(value, format): one argument given"),
        ("format_timestamp(x, YY)", "format_timestamp: 'x' is not a number of seconds"),
        (
            "format_timestamp(99999999999999, YY)",
            "format_timestamp: 99999999999999.0 is no time of the years 1 to 9999",
        ),
        ("hmac_sha1(x)", "hmac_sha1(value, key): one argument given"),
        ("get_secret(k)", "get_secret: no secret 'k' was given"),
        ("incoming_url(t)", "incoming_url: no incoming request waits for 't'"),
    ],
)
def test_problems(text: str, problem: str) -> None:
    with pytest.raises(FunctionProblem) as caught:
        call(text)
    assert str(caught.value) == problem


@pytest.mark.parametrize(
    "text", ["name", "nope(1)", "md5(1", "md5", "MD5(1)", "random_string", "(1)", "", "md5(1) x"]
)
def test_no_function(text: str) -> None:
    assert call(text) is None
    assert not Builtins.knows(text)


def test_knows() -> None:
    assert all(Builtins.knows(f"{name}(x)") for name in FUNCTIONS)
    assert all(map(Builtins.knows, FACTS))
    assert all(map(Builtins.knows, ("timestamp", "utc_datetime", "random_int", "uuid", " uuid ", "timestamp()")))


def test_commas_of_values_separate_nothing() -> None:
    given_ = builtins()
    whole = given_.call([Piece("hmac_sha1(a,b, "), Piece("k,l", is_value=True), Piece(")")])
    assert whole == given_.call(
        [Piece("hmac_sha1("), Piece("a,b", is_value=True), Piece(", "), Piece("k,l", is_value=True), Piece(")")]
    )
    assert whole is not None and whole.text == hmac.new(b"k,l", b"a,b", hashlib.sha1).hexdigest()


def test_what_holds_a_secret_is_one() -> None:
    made = builtins().call([Piece("encode_base64("), Piece("s3cret", is_value=True, is_secret=True), Piece(")")])
    assert made is not None and made.is_secret


def test_harmless_stands_still() -> None:
    assert call("timestamp", Builtins.harmless()) == "0"
    assert call("uuid", Builtins.harmless()) == "00000000-0000-4000-8000-000000000000"


@given(st.sampled_from([*FUNCTIONS, *FACTS, "x"]), st.text(max_size=20))
def test_never_raises_anything_else(name: str, arguments: str) -> None:
    try:
        made = builtins().call([Piece(f"{name}({arguments})")])
    except FunctionProblem:
        return
    assert made is None or isinstance(made.text, str)
