"""hiding: the secret path out of everything that is recorded."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from dataclasses import replace

import factories
import pytest
from factories import request, response

from scimproxy.errors import ScimproxyError
from scimproxy.exchange import Connection, Content, Exchange, Failure, Headers, Rewrite, fingerprint
from scimproxy.hiding import Hidden, Hiding
from scimproxy.redact import redact

SECRET = "0123456789abcdef0123456789abcdef"
MARK = fingerprint(SECRET)


def test_it_is_taken_out_of_every_place() -> None:
    url = f"https://public.example/{SECRET}/scim/v2/Users/1"
    headers = Headers([("Referer", url), ("X-A", "b")])
    before = factories.exchange(
        request=request("POST", f"/{SECRET}/scim/v2?x=/{SECRET}", body={"u": url}, headers={"Referer": url}, trailers=headers),
        response=response(
            200, {"meta": {"location": url}}, headers={"Location": url}, reason=SECRET, trailers=headers
        ),
        failure=Failure("blocked", f"no {url}", "request", "proxy"),
        client_claim=SECRET,
        host=f"{SECRET}.example",
        upstream_request_target=f"/{SECRET}",
        upstream_request_headers=headers,
        upstream_response_headers=headers,
        rewrites=(Rewrite(f"/{SECRET}", "http://127.0.0.1", url),),
        ended=f"after {SECRET}",
    )  # fmt: skip
    after = Hidden(SECRET).out_of(before)
    assert SECRET in shown(before)
    assert SECRET not in shown(after)
    assert shown(after) == shown(before).replace(SECRET, MARK)
    assert after.request.content.redacted
    assert after.request.content.size == before.request.content.size
    assert Hidden(SECRET).out_of(after) == after


def shown(exchange: Exchange) -> str:
    answer = exchange.response
    assert answer is not None
    parts = [
        exchange.request.target,
        exchange.request.headers.pairs,
        exchange.request.content.data,
        exchange.request.trailers and exchange.request.trailers.pairs,
        answer.reason,
        answer.headers.pairs,
        answer.content.data,
        answer.trailers and answer.trailers.pairs,
        exchange.failure,
        exchange.client_claim,
        exchange.host,
        exchange.upstream_request_target,
        exchange.upstream_request_headers and exchange.upstream_request_headers.pairs,
        exchange.upstream_response_headers and exchange.upstream_response_headers.pairs,
        exchange.rewrites,
        exchange.ended,
    ]
    return "\n".join(map(str, parts))


def test_where_it_is_not_everything_stays_as_it_was() -> None:
    whole = factories.exchange(request=request(body=b"{}"), response=response(200, b"\x00\xff"))
    assert Hidden(SECRET).out_of(whole) == whole
    assert Hidden(SECRET).out_of(whole).request.headers is whole.request.headers  # a key of other memories
    pending = replace(whole, response=None, upstream_request_headers=Headers([("A", "b")]))
    assert Hidden(SECRET).out_of(pending) == pending


@pytest.mark.parametrize(
    "coded", ["%30" + SECRET[1:], SECRET[:-1] + "%66", "".join(f"%{ord(one):02X}" for one in SECRET)]
)
def test_it_is_found_in_any_coding(coded: str) -> None:
    assert Hidden(SECRET).out_of_text(f"/{coded}/x") == f"/{MARK}/x"
    assert (
        Hidden("a-b_c-d_e-f_g-h_").out_of_text("/%61-b_c%2dd_e%2Df%5fg-h_") == f"/{fingerprint('a-b_c-d_e-f_g-h_')}"
    )


def hidden(data: bytes, *, size: int | None = None, **headers: str) -> Content:
    content = replace(Content.of(data), size=len(data) if size is None else size)
    made = factories.exchange(response=replace(response(), headers=Headers(headers.items()), content=content))
    after = Hidden(SECRET).out_of(made).response
    assert after is not None
    return after.content


def test_it_is_found_in_coded_bodies() -> None:
    packed = gzip.compress(f"at /{SECRET}/".encode())
    content = hidden(packed, **{"Content-Encoding": "gzip"})
    assert (content.data, content.size, content.redacted) == (f"at /{MARK}/".encode(), len(packed), True)
    other = gzip.compress(b"nothing")
    assert hidden(other, **{"Content-Encoding": "gzip"}) == Content.of(other)
    wrong = SECRET.encode()  # not gzip at all
    assert hidden(wrong, **{"Content-Encoding": "gzip"}).data == MARK.encode()


def test_a_cut_body_ends_before_a_part_of_it() -> None:
    begun = b"at /" + SECRET[:20].encode()
    assert hidden(begun, size=100).data == b"at /"
    assert hidden(begun).data == begun  # it is whole: that is no part of the secret
    assert hidden(b"at /0123", size=100).data == b"at /0123"  # too short to say


def test_what_was_hidden_is_redacted_as_usual() -> None:
    packed = gzip.compress(f'{{"password":"geheim-geheim","at":"/{SECRET}/"}}'.encode())
    made = factories.exchange(request=request(body=packed, headers={"Content-Encoding": "gzip"}))
    clean, _ = redact(Hidden(SECRET).out_of(made))
    assert b"geheim" not in clean.request.content.data
    assert MARK.encode() in clean.request.content.data


class Seen:
    """A recorder that keeps what it is given."""

    def __init__(self) -> None:
        self.got: list[object] = []

    async def record(self, exchange: Exchange) -> None:
        self.got.append(exchange)

    def submit(self, exchange: Exchange, done: Callable[[ScimproxyError | None], None]) -> None:
        self.got.append(exchange)
        done(None)

    def pending(self, exchange: Exchange) -> None:
        self.got.append(exchange)

    async def opened(self, exchange: Exchange) -> None:
        self.got.append(exchange)

    def connection(self, connection: Connection) -> None:
        self.got.append(connection)

    def refusing(self) -> ScimproxyError | None:
        return ScimproxyError("full")

    def lost(self, reason: str) -> None:
        self.got.append(reason)


def test_every_call_passes_through_it() -> None:
    seen = Seen()
    hiding = Hiding(seen, SECRET)
    exchange = factories.exchange(request=request("GET", f"/{SECRET}/Users"))
    asyncio.run(hiding.record(exchange))
    ends: list[object] = []
    hiding.submit(exchange, ends.append)
    hiding.pending(exchange)
    asyncio.run(hiding.opened(exchange))
    hiding.lost(f"at {SECRET}")
    plain, told = Connection(uid="a", side="client"), Connection(uid="b", side="client", close_reason=f"/{SECRET}")
    hiding.connection(plain)
    hiding.connection(told)
    assert ends == [None]
    assert str(hiding.refusing()) == "full"
    assert [one.request.target for one in seen.got[:4] if isinstance(one, Exchange)] == [f"/{MARK}/Users"] * 4
    assert seen.got[4] == f"at {MARK}"
    assert seen.got[5] is plain
    assert seen.got[6] == replace(told, close_reason=f"/{MARK}")
