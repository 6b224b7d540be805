from __future__ import annotations

import hashlib
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimproxy.exchange import Content, hashed
from scimproxy.proxy import tap as tap_module
from scimproxy.proxy.tap import Tap
from scimproxy.secret_bodies import hints

BIG = [bytes([65 + number % 20]) * 100_000 for number in range(60)]


@given(st.lists(st.binary(max_size=9), max_size=9), st.integers(0, 40))
def test_a_tap_keeps_some_and_counts_all(pieces: list[bytes], limit: int) -> None:
    whole = b"".join(pieces)
    tap = Tap(limit)
    for piece in pieces:
        tap.feed(piece)
    assert tap.content() == Content(whole[:limit], len(whole), hashlib.sha256(whole).hexdigest())
    assert tap.whole is (len(whole) <= limit)
    assert hashed(tap.unhashed()) == tap.content()
    assert tap.content(3) == Content(whole[: min(limit, 3)], len(whole), hashlib.sha256(whole).hexdigest())


@pytest.mark.parametrize("limit", [1_000_000, 100_000_000])
def test_a_big_body_is_hashed_beside_and_given_away_as_it_lies(limit: int) -> None:
    tap = Tap(limit)
    whole = b"".join(BIG)
    for at, piece in enumerate(BIG):
        tap.feed(piece)
        if at % 20 == 7:  # somebody looks while more is coming
            passed = whole[: (at + 1) * 100_000]
            assert tap.content(5) == Content(b"AAAAA", len(passed), hashlib.sha256(passed).hexdigest())
            assert tap.content().data == passed[:limit]
    content = tap.content()
    assert content == Content(whole[:limit], len(whole), hashlib.sha256(whole).hexdigest())
    assert tap.content().data is content.data
    assert "scimproxy-hashes" in {thread.name for thread in threading.enumerate()}


def test_who_feeds_hashes_when_nobody_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(tap_module, "_ask", asked.append)
    tap = Tap(1_000_000)
    for piece in BIG:
        tap.feed(piece)
    many = tap._many
    assert many is not None
    assert sum(len(piece) for piece, _ in many._waiting) <= tap_module._MOST_BEHIND
    assert len(asked) < len(BIG)  # not for each piece
    assert tap.content().sha256 == hashlib.sha256(b"".join(BIG)).hexdigest()


def test_bodies_that_pass_at_once_do_not_mix() -> None:
    taps = [Tap(10_000_000) for _ in range(4)]
    for at in range(60):
        for tap, offset in zip(taps, range(4), strict=True):
            tap.feed(BIG[(at + offset) % 60])
    for tap, offset in zip(taps, range(4), strict=True):
        assert tap.content() == Content.of(b"".join(BIG[offset:] + BIG[:offset]))


def test_what_was_looked_through_on_its_way_is_not_looked_through_again(monkeypatch: pytest.MonkeyPatch) -> None:
    harmless, risky = Tap(10_000_000), Tap(10_000_000)
    for piece in BIG:
        harmless.feed(piece)
        risky.feed(piece)
    risky.feed(b', "userPass')
    risky.feed(b'word": "x", "t": "eyJhbGciOi.a.b"')
    clean, dirty = harmless.content(), risky.content()
    copy = bytes(bytearray(dirty.data))
    assert hints(copy) == (True, True)
    monkeypatch.setattr("scimproxy.secret_bodies.Look.feed", None)  # from here on, nothing is looked through
    assert hints(clean.data) == (False, False)
    assert hints(dirty.data) == (True, True)
    with pytest.raises(TypeError):
        hints(copy)
