"""A bounded number of the fuzzer's cases, the same every time; `python -m fuzz.run` plays as many as one likes."""

from __future__ import annotations

import asyncio
import re
import tempfile
from pathlib import Path

import pytest
from fuzz.alone import broken
from fuzz.case import OK, Answer, Case
from fuzz.differ import Difference, Turn, difference
from fuzz.explain import ROWS, explain
from fuzz.mutate import make_case, seed_cases
from fuzz.nginx import Nginx, judge
from fuzz.play import Outcome, Stand
from fuzz.quiet import QuietLoop
from fuzz.run import run
from fuzz.shrink import shrink
from fuzz.wire import h11_requests, requests_in

CASES = 3000
SEED = 7


@pytest.mark.slow
def test_cases() -> None:
    """Nothing breaks in the native engine, nginx reads what reaches the upstream, each difference is in the table."""
    seeds = [(f"seed-{number}", case) for number, case in enumerate(seed_cases())]
    first = SEED * 1_000_000
    made = [(str(number), make_case(number)) for number in range(first, first + CASES - len(seeds))]
    tally = run([*seeds, *made])
    assert tally.problems == []
    assert tally.cases == CASES
    assert tally.same > CASES / 4, tally
    assert tally.asked > CASES / 4, tally
    if Nginx.there():
        assert tally.nginx_read > 100, tally


def test_a_number_is_a_case() -> None:
    assert make_case(5) == make_case(5)
    assert make_case(5) != make_case(6)


def test_rows_of_the_table_are_whole() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    for row in ROWS:
        assert all((row.native, row.mitmproxy, row.why, row.rfc)), row.name


# -- the fuzzer finds what it is for ------------------------------------------------------------------------------


def outcome(**given: object) -> Outcome:
    parts: dict[str, object] = {
        "upstream": [],
        "got": b"",
        "ended": False,
        "exchanges": [],
        "owing": False,
        "told": 0,
    }
    return Outcome(**{**parts, **given})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("upstream", "words"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "both framings"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "exactly one Host"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", "not a plain request"),
        (b"GET / HTTP/1.1\nHost: a\r\n\r\n", "not a plain request"),
        (b"GET http://x/ HTTP/1.1\r\nHost: a\r\n\r\n", "not a plain request"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n", "Content-Length"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", "Transfer-Encoding"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a\r\n", "chunk size"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab", "chunk"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n\r\n", "reached the upstream"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "was not recorded"),
    ],
)
def test_a_request_that_must_not_reach_the_upstream_is_found(upstream: bytes, words: str) -> None:
    found = broken(Case((b"",)), outcome(upstream=[upstream]))
    assert any(words in problem for problem in found), found


def test_an_answer_that_nobody_asked_for_is_found() -> None:
    assert any("more answers than requests" in one for one in broken(Case((b"",)), outcome(got=OK)))


def test_a_hang_is_found() -> None:
    assert any("hang" in one for one in broken(Case((b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",)), outcome()))


def test_a_fault_is_found() -> None:
    assert broken(Case((b"",)), outcome(faults=["lost: x"])) == ["lost: x"]


def test_a_difference_that_fits_no_row_is_unexplained() -> None:
    one = Turn("passed", method="GET", target="/a", status=200)
    two = Turn("passed", method="GET", target="/b", status=200)
    assert explain(Difference(frozenset({"target"}), one, two, Case((b"",)))) is None


def test_a_case_is_made_small() -> None:
    case = Case(
        (b"GET /a HTTP/1.1\r\nHost: h\r\nX: y", b"\r\nZ: evil\r\n\r\n"), (Answer(), Answer((OK, OK))), end="half"
    )

    async def shows(smaller: Case) -> bool:
        return b"evil" in smaller.sent

    assert asyncio.run(shrink(case, shows)) == Case((b"evil",), (Answer(),))


def test_both_readers_agree_on_an_honest_request() -> None:
    data = b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: 1\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n"
    ours, theirs = requests_in(data), h11_requests(data)
    assert [one.target for one in ours.requests] == [b"/a", b"/b"]
    assert ours == theirs


@pytest.mark.skipif(not Nginx.there(), reason="nginx is not installed")
def test_nginx_tells_what_it_reads_differently() -> None:
    """Where a length says more than was meant, the request behind it is body for nginx; TRACE it refuses."""
    honest = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nHost: h\r\n\r\n"

    async def ask() -> tuple[list[str], list[str], int]:
        with tempfile.TemporaryDirectory() as folder:
            async with Nginx(Path(folder)) as nginx:
                good, _ = await judge(nginx, honest)
                reading = await nginx.read(honest.replace(b"Length: 3", b"Length: 31"), 1)
                _, refused = await judge(nginx, b"TRACE /a HTTP/1.1\r\nHost: h\r\n\r\n")
                return good, [bytes(one.body).decode() for one in reading.requests], refused

    good, bodies, refused = asyncio.run(ask())
    assert good == []
    assert bodies == ["abcGET /b HTTP/1.1\r\nHost: h\r\n\r\n"[:31]]
    assert refused == 1


def test_the_engines_agree_on_an_honest_case() -> None:
    case = Case(
        (b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n", b"GET /b HTTP/1.1\r\n", b"Host: h\r\n\r\n"),
        (Answer(), Answer((OK[:9], OK[9:]))),
    )

    async def play() -> tuple[Outcome, Outcome]:
        async with Stand("native") as native, Stand("mitmproxy") as other:
            return await native.play(case), await other.play(case)

    with asyncio.Runner(loop_factory=QuietLoop) as runner:
        native, other = runner.run(play())
    assert difference(case, native, other) is None
    assert broken(case, native) == []
    assert native.got == OK + OK
    assert re.findall(rb"GET (\S+)", b"".join(native.upstream)) == [b"/a", b"/b"]
