from __future__ import annotations

import html
import json
import re
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimproxy.echoes import Echo, echo_of
from scimproxy.exchange import fingerprint


def _small_codes(secret: str) -> str:
    return re.sub("%..", lambda code: code[0].lower(), quote(secret, safe=""))


@given(st.text(min_size=1, max_size=12))
def test_each_form_of_a_secret_is_found(secret: str) -> None:
    mark = fingerprint(secret).encode()
    forms = [secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], quote(secret, safe="")]
    forms += [quote(secret), quote_plus(secret), _small_codes(secret), html.escape(secret)]
    for form in forms:
        assert Echo(secret).taken_from(b"<<" + form.encode() + b">>") == b"<<" + mark + b">>"


def test_what_is_not_there_stays_the_same_object() -> None:
    for secret, data in (("abc", b"ab"), ("abc!d", b"abc?d"), ("abc", b"abd")):
        assert echo_of(secret).taken_from(data) is data
        assert echo_of(secret).taken_from_text(data.decode()) == data.decode()
    assert not echo_of("abc").near("ab") and echo_of("abc").near("xabc")


def test_texts_of_the_wire_and_of_ours() -> None:
    secret = "p\u00e4ss!"
    mark = fingerprint(secret)
    assert echo_of(secret).taken_from_text(secret) == mark
    assert echo_of(secret).taken_from_text(secret.encode().decode("latin-1")) == mark
    assert echo_of(secret).taken_from_text(f"\u6f22 {secret} \ud800") == f"\u6f22 {mark} \ud800"


@pytest.mark.parametrize("secret", ["x" * 5000, "x!" * 3000, 'x"' * 3000])
def test_a_long_secret_is_found_in_its_plain_forms(secret: str) -> None:
    mark = fingerprint(secret).encode()
    assert echo_of(secret).taken_from(json.dumps(secret).encode()) == b'"' + mark + b'"'
    assert echo_of(secret).taken_from(secret.encode()) == mark


def test_they_are_remembered() -> None:
    assert echo_of("abcdefgh") is echo_of("abcdefgh")
    assert echo_of("y" * 5000) is not echo_of("y" * 5000)
