"""How an intervention is carried out: heads, words, what is recorded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from factories import request

from scimproxy.exchange import Connection, Content, Headers, Response
from scimproxy.proxy.directing import (
    Directed,
    Fits,
    altered,
    asked_plainly,
    cut_short,
    directed,
    fitted,
    nobody,
    too_long,
)
from scimproxy.proxy.engine import ANYWHERE, EngineOptions, Forward, Target
from scimproxy.proxy.forwarding import Caller, Tap
from scimproxy.proxy.intervention import Intervention
from scimproxy.redact import redact

CAME = Response(
    200,
    "OK",
    headers=Headers([("Content-Type", "application/json"), ("Content-MD5", "x"), ("Transfer-Encoding", "chunked")]),
    content=Content.of(b'{"id": "7", "password": "Xk3!vvQ9zz"}'),
)
HERE = EngineOptions(target=Target("http", "127.0.0.1", 8000))


def passage(**given: object) -> Directed:
    return Directed(
        uid="1",
        request=request(),
        caller=Caller("127.0.0.1", None, "http", None),
        started_at=0.0,
        started_m=0.0,
        client_connection=Connection("c", "client"),
        client_index=1,
        request_tap=Tap(10),
        response_tap=Tap(10),
        ended="keep-alive",
        **given,  # type: ignore[arg-type]  # fields of a Directed
    )


@pytest.mark.parametrize("delay_s", [-1.0, 3601.0, float("nan")])
def test_a_delay_is_bounded(delay_s: float) -> None:
    with pytest.raises(ValueError, match="delay"):
        Intervention(delay_s=delay_s)


def test_what_an_intervention_wants() -> None:
    assert Intervention().asks
    assert not Intervention(response=CAME).asks
    assert not Intervention(cut="before").asks
    assert Intervention(cut="after").asks
    assert Intervention(cut="after").holds
    assert Intervention(alter=lambda came: came).holds
    assert not Intervention(deliveries=2).holds


def test_why_is_recorded() -> None:
    why = Intervention(note="because", tags=("fault",), parent_id=3)
    assert directed(passage()).exchange(at=1.0, now_m=1.0).note is None
    made = passage(intervention=why).exchange(at=1.0, now_m=1.0)
    assert (made.note, made.tags, made.parent_id, made.ended) == ("because", ("fault",), 3, "keep-alive")
    again = passage(intervention=why, again=True)
    assert again.exchange(at=1.0, now_m=1.0).note == "because: the second delivery"
    assert (again.exchange(at=1.0, now_m=1.0).ended or "").startswith("delivered again")
    assert again.exchange(at=1.0, now_m=1.0, state="pending").ended is None
    silent = passage(intervention=Intervention(), again=True)
    assert silent.exchange(at=1.0, now_m=1.0).note is None


def test_why_is_recorded_flat() -> None:
    why = Intervention(note="because", tags=("mock",), parent_id=3)
    for one in (passage(intervention=why), passage(intervention=why, given=None), passage(given=CAME)):
        flat, whole = one.passed(at=1.0, now_m=1.0), one.exchange(at=1.0, now_m=1.0)
        if one.given is None:
            assert flat is None
        else:
            assert flat is not None
            assert (flat.note, flat.tags, flat.parent_id) == (whole.note, whole.tags, whole.parent_id)
            assert flat.exchange().upstream_connection is whole.upstream_connection
    assert passage(intervention=why, given=CAME, again=True).passed(at=1.0, now_m=1.0) is None


def test_fits_are_remembered_by_answer_and_client() -> None:
    fits = Fits()
    one = fits.fit(CAME, request(), close=False)
    assert one.head.startswith(b"HTTP/1.1 200 ")
    assert b"content-length: 37" in one.head.lower()
    assert one.given.content == CAME.content
    assert fits.fit(CAME, request(), close=False) is one
    assert fits.fit(replace(CAME), request(), close=False) is not one
    assert fits.fit(CAME, request(), close=True).close
    assert not fits.fit(CAME, request("HEAD"), close=False).given.content.data
    old = replace(request(), http_version="1.0")
    assert b"connection: keep-alive" in fits.fit(CAME, old, close=False).head.lower()
    long = replace(CAME, content=Content.of(b" " * 17_000))
    assert fits.fit(long, request(), close=False) is not fits.fit(long, request(), close=False)
    for _ in range(2048):
        fits.fit(replace(CAME), request(), close=False)
    assert fits.fit(CAME, request(), close=False) is not one


def test_fitted() -> None:
    made = fitted(replace(CAME, reason=""), request())
    assert made.headers.get("content-length") == "37"
    assert "transfer-encoding" not in made.headers
    assert made.reason == "OK"
    empty = fitted(replace(CAME, status_code=304), request())
    assert not empty.content.data
    assert "content-length" not in empty.headers


def test_fitted_to_head() -> None:
    head = request("HEAD")
    assert fitted(CAME, head).headers.get("content-length") == "37"
    assert not fitted(CAME, head).content.data
    told = Response(200, headers=Headers([("Content-Length", "99")]))
    assert fitted(told, head).headers.get("content-length") == "99"
    assert fitted(Response(200), head).headers.get("content-length") == "0"


def test_altered() -> None:
    def shorter(came: Response) -> Response:
        return replace(came, content=Content.of(b"{"))

    made, rewrites = altered(Intervention(alter=shorter), CAME, request())
    assert made.content.data == b"{"
    assert "content-md5" not in made.headers
    assert [(one.place, one.after) for one in rewrites] == [("content", "1 bytes")]
    same, none = altered(Intervention(alter=lambda came: came), CAME, request())
    assert same.content == CAME.content
    assert none == ()
    told, status = altered(Intervention(alter=lambda came: replace(came, status_code=500)), CAME, request())
    assert told.headers.get("content-md5") == "x"
    assert [(one.place, one.before, one.after) for one in status] == [("status", "200", "500")]


def test_an_altered_content_is_redacted() -> None:
    made, rewrites = altered(Intervention(alter=lambda _: Response(502)), CAME, request())
    exchange = replace(passage().exchange(at=1.0, now_m=1.0), response=made, rewrites=rewrites)
    clean, _ = redact(exchange)
    assert "Xk3" in rewrites[1].before
    assert "Xk3" not in clean.rewrites[1].before
    assert '"id": "7"' in clean.rewrites[1].before


def test_words() -> None:
    early = cut_short(Intervention(), None)
    late = cut_short(Intervention(note="why"), CAME)
    assert (early.side, early.phase) == ("proxy", "request")
    assert late.message.endswith("had answered 200, which the client never saw (why)")
    assert "10485760" in too_long(HERE).message
    assert nobody(HERE) is None
    assert nobody(replace(HERE, target=ANYWHERE)) is not None
    assert nobody(replace(HERE, target=ANYWHERE, forward=Forward(Path()))) is None
    assert asked_plainly(Headers([("Accept-Encoding", "br")])) == Headers([("Accept-Encoding", "identity")])
