"""Two exchanges side by side: alike lines stand beside each other, the rest is marked, and all is bounded."""

from __future__ import annotations

from factories import exchange

from scimproxy.exchange import Exchange, Failure
from scimproxy.web.aside import Beside, aside


def responses(a: Exchange, b: Exchange) -> list[Beside]:
    return dict(aside(a, b))["Response"]


def marked(lines: list[Beside]) -> list[tuple[str | None, str | None, str]]:
    return [(one.a, one.b, one.sign) for one in lines if one.sign]


def test_lines_that_differ_are_marked_and_the_rest_stays_beside() -> None:
    a = exchange(answer={"id": "1", "n": 1.50, "emails": [{"value": "x"}]})
    b = exchange(answer={"id": "2", "n": 1.50, "emails": [{"value": "x"}], "active": True}, status_code=201)
    lines = responses(a, b)
    assert ('  "id": "1",', '  "id": "2",', "≠") in marked(lines)
    assert (None, '  "active": true', "+") in marked(lines)
    assert ('  "active": true', None, "-") in marked(responses(b, a))
    assert Beside('      "value": "x"', '      "value": "x"', "") in lines
    assert lines[0].sign == "≠"
    assert marked(dict(aside(a, a))["Request"]) == []
    assert marked(responses(a, a)) == []


def test_numbers_stay_as_they_were_sent() -> None:
    lines = responses(exchange(answer='{"n": 1.50, "n": 1e2}'), exchange(answer='{"n": 1.5}'))
    assert marked(lines)[-2:] == [('  "n": 1.50,', '  "n": 1.5', "≠"), ('  "n": 1e2', None, "-")]


def test_what_is_no_json_and_what_is_no_text() -> None:
    text = responses(exchange(answer="one\ntwo"), exchange(answer="one\nthree"))
    assert marked(text)[-1] == ("two", "three", "≠")
    binary = responses(exchange(answer=b"\x89PNG\x00\x01"), exchange(status_code=204))
    assert any("bytes that are no text" in (one.a or "") for one in binary)


def test_no_response_says_why() -> None:
    lines = responses(exchange(response=None), exchange(response=None, failure=Failure("closed", "reset")))
    assert [(one.a, one.b) for one in lines] == [("no response", "no response: reset")]


def test_much_is_bounded_and_said() -> None:
    long = exchange(answer="\n".join(["x" * 900, *(f"line {at}" for at in range(700))]))
    lines = [one.a or "" for one in responses(long, long)]
    assert "… 101 more lines" in lines
    assert any(line.endswith("… 400 more characters") for line in lines)
