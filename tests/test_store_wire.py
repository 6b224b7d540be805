from __future__ import annotations

from dataclasses import replace
from typing import Any

import factories
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimproxy.exchange import Connection, Content, Headers
from scimproxy.store import wire
from scimproxy.store.rows import loose_row
from scimproxy.store.wire import Decoder, Encoder, Frames, frame


def through(frames: list[bytes], *, pieces: int = 1_000_000) -> list[list[Any]]:
    decoder, reader = Decoder(), Frames()
    rows = []
    data = b"".join(frames)
    for at in range(0, len(data), pieces):
        for items in reader.feed(data[at : at + pieces]):
            for kind, *told in items:
                if kind == "exchange":
                    rows.append(decoder.row(*told))
                else:
                    decoder.learn(kind, *told)
    return rows


@pytest.mark.parametrize("pieces", [1, 7, 1_000_000])
def test_rows_come_out_as_they_went_in(pieces: int) -> None:
    client = Connection(uid="c1", side="client", peer_host="127.0.0.1")
    shared = Headers([("A", "b")])
    exchanges = [
        factories.exchange(client_connection=client, upstream_request_headers=shared, note=note)
        for note in ("one", "zwei \ud800", None)
    ]
    encoder = Encoder()
    frames = [b"".join(encoder.row("exchange", loose_row(one))) for one in exchanges]
    assert through(frames, pieces=pieces) == [loose_row(one) for one in exchanges]
    assert len(frames[1]) < len(frames[0])  # what is shared went once


def test_both_ends_forget_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "_MOST", 4)
    exchanges = [factories.exchange(upstream_request_headers=Headers([("A", str(n))])) for n in range(20)]
    encoder = Encoder()
    assert through([b"".join(encoder.row("exchange", loose_row(one))) for one in exchanges]) == [
        loose_row(one) for one in exchanges
    ]


def test_what_cannot_be_sent_is_told_and_takes_no_number_with_it() -> None:
    encoder = Encoder()
    shared = Headers([("A", "b")])
    with pytest.raises(ValueError, match="unmarshallable"):
        encoder.row("exchange", loose_row(factories.exchange(upstream_request_headers=shared, note=object())))
    good = factories.exchange(upstream_request_headers=shared)
    assert through(encoder.row("exchange", loose_row(good))) == [loose_row(good)]


@given(st.lists(st.binary(max_size=50)), st.integers(1, 40))
def test_frames_are_cut_where_they_end(values: list[bytes], size: int) -> None:
    data = b"".join(frame([value]) for value in values)
    reader = Frames()
    found = [value for at in range(0, len(data), size) for value in reader.feed(data[at : at + size])]
    assert found == [[value] for value in values]


@pytest.mark.parametrize("pieces", [7919, 65_536, 10_000_000])
def test_big_contents_go_apart_and_are_not_copied(pieces: int) -> None:
    data = [bytes([number]) * 70_000 for number in range(3)]
    exchanges = [factories.exchange(note="before"), factories.exchange(), factories.exchange(note="after")]
    answer = exchanges[1].response
    assert answer is not None
    exchanges[1] = replace(
        exchanges[1],
        request=replace(exchanges[1].request, content=Content(data[0], 99_999, "a", redacted=True)),
        response=replace(answer, content=Content(data[1], 70_000, "b")),
    )
    encoder = Encoder()
    parts = [part for one in exchanges for part in encoder.row("exchange", loose_row(one))]
    assert any(part is data[0] for part in parts)
    assert any(part is data[1] for part in parts)
    assert through(parts, pieces=pieces) == [loose_row(one) for one in exchanges]


def test_a_content_that_goes_apart_is_not_sent_for_a_row_that_cannot() -> None:
    encoder = Encoder()
    one = factories.exchange(note=object())
    one = replace(one, request=replace(one.request, content=Content.of(b"x" * 70_000)))
    with pytest.raises(ValueError, match="unmarshallable"):
        encoder.row("exchange", loose_row(one))
    good = factories.exchange()
    assert through(encoder.row("exchange", loose_row(good))) == [loose_row(good)]
