"""proxy.guard: what strangers may do, decided without a clock."""

from __future__ import annotations

import ipaddress
import posixpath
import re
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from factories import request
from hypothesis import example, given
from hypothesis import strategies as st

from scimproxy.exchange import Headers, Request, Response
from scimproxy.proxy import answers, guard
from scimproxy.proxy.engine import METHODS, EngineOptions, GuardOptions, Target
from scimproxy.proxy.forwarding import Caller, Refusal, caller_of
from scimproxy.proxy.guard import PROBE, Guard, probe_nonce, probe_proof

TARGET = Target("http", "127.0.0.1", 8000, "/scim/v2")
SECRET = "0123456789abcdef0123456789abcdef"
TOKEN = "a-token-of-some-length"
KEY = bytes(range(32))


def guarded(*, origin: str | None = None, target: Target = TARGET, vouched: bool = False, **fields: Any) -> Guard:
    chosen = GuardOptions(**fields)
    options = EngineOptions(target=target, public_origin=origin, vouches_for_client=vouched, guard=chosen)
    return Guard(options, chosen)


def caller(address: str | None = "127.0.0.1") -> Caller:
    return Caller(address, None, "https", "h")


def ask(
    made: Guard, *args: Any, address: str | None = "127.0.0.1", at: float = 0.0, **kwargs: Any
) -> str | Refusal | Response:
    return made.admit(request(*args, **kwargs), caller(address), at)


def refused(verdict: object, status_code: int) -> Refusal:
    assert isinstance(verdict, Refusal)
    assert verdict.status_code == status_code, verdict
    assert verdict.detail
    return verdict


# -- methods, loops -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_methods_of_scim_pass(method: str) -> None:
    assert ask(guarded(), method) == "/scim/v2/Users"


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "get", "PURGE", "DEBUG", "TRACK", "X" * 500])
def test_other_methods_do_not(method: str) -> None:
    refusal = refused(ask(guarded(), method), 405)
    assert dict(refusal.headers)["Allow"] == "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"  # RFC 9110 section 15.5.6
    assert len(refusal.detail) < 200


def test_the_methods_are_a_choice() -> None:
    reading = guarded(methods=("GET", "HEAD"))
    assert ask(reading, "GET") == "/scim/v2/Users"
    assert dict(refused(ask(reading, "DELETE"), 405).headers) == {"Allow": "GET, HEAD"}


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "x-http-method", "X-Method-Override"])
def test_a_method_is_not_smuggled_in_a_field(name: str) -> None:
    reading = guarded(methods=("GET", "POST"))
    assert ask(reading, "POST", headers={name: "get "}) == "/scim/v2/Users"
    refused(ask(reading, "POST", headers={name: "DELETE"}), 405)
    refused(ask(reading, "POST", headers=[(name, "GET"), (name, "delete")]), 405)
    assert ask(guarded(), "POST", headers={name: "PATCH"}) == "/scim/v2/Users"


def test_a_request_that_came_through_us_is_a_loop() -> None:
    made = guarded(mark="feed")
    assert ask(made, headers={"Scimproxy-Via": "dead, beef"}) == "/scim/v2/Users"
    refused(ask(made, headers={"Scimproxy-Via": "dead, feed"}), 508)
    refused(ask(made, headers=[("Scimproxy-Via", "dead"), ("scimproxy-via", "feed")]), 508)
    assert ask(guarded(), headers={"Scimproxy-Via": "feed"}) == "/scim/v2/Users"


# -- host ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "abc.example",
        "ABC.example",
        "abc.example:443",
        "abc.example:80",
        "abc.example.",
        "localhost",
        "localhost:8080",
        "127.0.0.1",
        "127.0.0.1:9",
        "127.8.9.1",
        "[::1]",
        "[::1]:8080",
        "LOCALHOST",
        "[::ffff:127.0.0.1]",
    ],
)
def test_hosts_that_are_ours(host: str) -> None:
    made = guarded(origin="https://abc.example")
    for _ in range(2):  # the second time it is remembered
        assert ask(made, headers={"Host": host}) == "/scim/v2/Users"
    refused(ask(made, headers={"Host": f"x{host}"}), 421)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "abc.example.evil",
        "xabc.example",
        "abc.example:8443",
        "abc.example@evil",
        "a@abc.example",
        "abc.example/x",
        "abc.example:x",
        "abc.example:99999",
        "127.0.0.1.evil",
        "localhost.evil",
        "10.0.0.1",
        "[::2]",
        "127.1",
        "2130706433",
        "0.0.0.0",
        "[::1",
        "[:::1]",
        "x[::1]",
        "[::1]x",
        "::1",
        "abc.example#",
        "abc.example?",
        "abc .example",
        "abc\t.example",
        "http://abc.example",
        "abc.example,evil",
        "abc\uff0eexample",
        "abc.example:",
        "abc.example\\x",
        "%61bc.example",
    ],
)
def test_hosts_that_are_not(host: str) -> None:
    if host == "abc.example:":  # an empty port is no port (RFC 3986 section 3.2.3)
        assert ask(guarded(origin="https://abc.example"), headers={"Host": host}) == "/scim/v2/Users"
        return
    refusal = refused(ask(guarded(origin="https://abc.example"), headers={"Host": host}), 421)
    assert "abc.example" in refusal.detail
    assert "abc.example" not in str(refusal.told)


def test_no_host_is_none_of_ours() -> None:
    made = guarded(origin="https://abc.example")
    assert "no Host" in refused(made.admit(Request("GET", "/scim/v2/Users", "1.0"), caller(), 0.0), 421).detail


def test_without_a_public_origin_any_host_passes() -> None:
    assert ask(guarded(), headers={"Host": "evil.example"}) == "/scim/v2/Users"


def test_the_public_origin_may_come_later_and_change() -> None:
    made = guarded()
    made.public_at("https://abc.example:8443")
    refused(ask(made, headers={"Host": "abc.example"}), 421)
    assert ask(made, headers={"Host": "abc.example:8443"}) == "/scim/v2/Users"
    made.public_at("https://other.example")
    refused(ask(made, headers={"Host": "abc.example:8443"}), 421)
    made.public_at("https://[2001:db8::1]")
    assert ask(made, headers={"Host": "[2001:DB8:0::1]:443"}) == "/scim/v2/Users"
    made.public_at("https://b\xfccher.example")
    assert ask(made, headers={"Host": "xn--bcher-kva.example"}) == "/scim/v2/Users"
    for unusable in ("https://a..b", "https://" + "\xfc" * 70, "https://:1"):
        made.public_at(unusable)
        refused(ask(made, headers={"Host": "abc.example:8443"}), 421)
        assert ask(made, headers={"Host": "localhost"}) == "/scim/v2/Users"
    made.public_at(None)
    assert ask(made, headers={"Host": "abc.example:8443"}) == "/scim/v2/Users"


# -- paths --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "mapped"),
    [
        (f"/{SECRET}/scim/v2/Users?a=/b", "/scim/v2/Users?a=/b"),
        (f"/{SECRET}/scim/v2", "/scim/v2"),
        (f"/%30{SECRET[1:]}/scim/v2/Users", "/scim/v2/Users"),
    ],
)
def test_the_secret_path_is_taken_off(target: str, mapped: str) -> None:
    assert ask(guarded(secret_path=SECRET), "GET", target) == mapped


def test_the_secret_path_before_the_root() -> None:
    root = guarded(secret_path=SECRET, target=Target("http", "h", 80))
    assert ask(root, "GET", f"/{SECRET}") == "/"
    assert ask(root, "GET", f"/{SECRET}?x=1") == "/?x=1"
    assert ask(root, "GET", f"/{SECRET}/Users") == "/Users"
    refused(ask(root, "OPTIONS", "*"), 404)
    refused(ask(root, "GET", "/"), 404)


@pytest.mark.parametrize(
    "target",
    [
        "/scim/v2/Users",
        "/",
        "*",
        f"/{SECRET[:-1]}/scim/v2",
        f"/{SECRET}x/scim/v2",
        f"//{SECRET}/scim/v2",
        "/?" + SECRET,
        f"/{SECRET.upper()}/scim/v2",
        f"/x/../{SECRET}/scim/v2",
        f"/scim/v2/{SECRET}",
        f"/{SECRET};x/scim/v2",
        f"/{SECRET}%2fscim",
        f"/./{SECRET}/scim/v2/Users",
        f"/{SECRET}\\scim",
        "/ÿ�/scim/v2",
        "/%ff%fe/scim",
    ],
)
def test_without_the_secret_path_nothing_is_there(target: str) -> None:
    refusal = refused(ask(guarded(secret_path=SECRET, token=TOKEN), "GET", target), 404)
    assert refusal.told == "nothing is served here"


def test_behind_the_secret_path_the_base_path_still_holds() -> None:
    made = guarded(secret_path=SECRET)
    outside = refused(ask(made, "GET", f"/{SECRET}/admin"), 404)
    climbing = refused(ask(made, "GET", f"/{SECRET}/scim/v2/../admin"), 400)
    assert SECRET not in outside.detail + climbing.detail


@pytest.mark.parametrize("secret", [None, SECRET])
def test_the_path_is_judged_before_the_person(secret: str | None) -> None:
    made = guarded(secret_path=secret, token=TOKEN, allow=())
    refused(ask(made, "GET", "/admin"), 404)


# -- people -------------------------------------------------------------------------------------------------------


def test_addresses_on_the_list_pass() -> None:
    networks = [
        ipaddress.ip_network(text) for text in ("192.0.2.0/25", "192.0.2.128/25", "198.51.100.7/32", "2001:db8::/32")
    ]
    made = guarded(allow=tuple(networks))
    for address in ("192.0.2.0", "192.0.2.255", "198.51.100.7", "2001:db8:ffff::1", "::ffff:192.0.2.9"):
        assert ask(made, address=address) == "/scim/v2/Users"
    for other in (
        "192.0.1.255",
        "192.0.3.0",
        "198.51.100.6",
        "198.51.100.8",
        "2001:db9::",
        "127.0.0.1",
        "::1",
        None,
        "x",
        "",
    ):
        assert refused(ask(made, address=other), 403).told == "you may not come in"


def test_an_empty_list_lets_nobody_in() -> None:
    refused(ask(guarded(allow=()), address="192.0.2.1"), 403)
    refused(ask(guarded(allow=()), address="::1"), 403)


def test_only_the_address_that_the_tunnel_wrote_counts() -> None:
    made = guarded(allow=(ipaddress.ip_network("192.0.2.0/24"),), vouched=True)
    for chain, passes in [
        ("192.0.2.1, 203.0.113.9", False),
        ("203.0.113.9, 192.0.2.1", True),
        ("192.0.2.1, x", False),
    ]:
        given = request(headers={"X-Forwarded-For": chain})
        verdict = made.admit(given, caller_of(given.headers, "127.0.0.1", made._options), 0.0)
        assert isinstance(verdict, str) is passes


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_right_token_passes(scheme: str) -> None:
    assert ask(guarded(token=TOKEN), headers={"Authorization": f"{scheme} {TOKEN}"}) == "/scim/v2/Users"
    assert ask(guarded(token=TOKEN), headers={"Authorization": f" {scheme}  {TOKEN} "}) == "/scim/v2/Users"


@pytest.mark.parametrize(
    "values",
    [
        [""],
        ["Bearer"],
        [TOKEN],
        [f"Basic {TOKEN}"],
        [f"Bearer {TOKEN}x"],
        [f"Bearer {TOKEN[:-1]}"],
        [f"Bearer {TOKEN} x"],
        [f"Bearer {TOKEN}", f"Bearer {TOKEN}"],
        ["Bearer x", f"Bearer {TOKEN}"],
        ["Bearer é�"],
        [f"Bearer{TOKEN}"],
    ],
)
def test_a_wrong_token_does_not(values: list[str]) -> None:
    refusal = refused(ask(guarded(token=TOKEN), headers=[("Authorization", value) for value in values]), 401)
    assert dict(refusal.headers) == {"WWW-Authenticate": 'Bearer realm="scimproxy", error="invalid_token"'}
    assert TOKEN not in refusal.detail


def test_no_token_is_asked_for_one() -> None:
    refusal = refused(ask(guarded(token=TOKEN)), 401)
    assert dict(refusal.headers) == {"WWW-Authenticate": 'Bearer realm="scimproxy"'}  # RFC 6750 section 3.1


def test_no_secret_is_in_a_repr() -> None:
    made = GuardOptions(token=TOKEN, secret_path=SECRET, probe_key=b"Q" * 32)
    assert not {TOKEN, SECRET, "QQQQ"} & set(re.findall(r"[\w-]+", repr(made)))


# -- sizes and rates ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "passes"), [("0", True), ("10", True), ("11", False), ("9" * 18, False), ("x", True)]
)
def test_a_body_may_be_so_large(length: str, passes: bool) -> None:
    verdict = ask(guarded(max_body=10), "POST", headers={"Content-Length": length})
    if passes:
        assert verdict == "/scim/v2/Users"
    else:
        assert "10 bytes" in refused(verdict, 413).detail


def test_or_as_large_as_it_likes() -> None:
    assert ask(guarded(max_body=None), "POST", headers={"Content-Length": "9" * 18}) == "/scim/v2/Users"
    assert "more" in guard.too_large(5).detail


def test_one_client_may_not_take_all() -> None:
    made = guarded(rate_per_client=60, rate_overall=None)
    for _ in range(60):
        assert ask(made, at=5.0) == "/scim/v2/Users"
    refusal = refused(ask(made, at=5.0), 429)
    assert dict(refusal.headers) == {"Retry-After": "1"}
    assert ask(made, at=5.0, address="192.0.2.1") == "/scim/v2/Users"
    refused(ask(made, at=5.5), 429)
    refused(ask(made, at=4.0), 429)  # a clock that goes back gives nothing
    assert ask(made, at=6.5) == "/scim/v2/Users"
    refused(ask(made, at=6.5), 429)
    for _ in range(60):
        assert ask(made, at=1000.0) == "/scim/v2/Users"
    refused(ask(made, at=1000.0), 429)


def test_the_wait_is_told_in_whole_seconds() -> None:
    made = guarded(rate_per_client=2, rate_overall=None)
    assert [isinstance(ask(made, at=1.0), str) for _ in range(3)] == [True, True, False]
    assert dict(refused(ask(made, at=1.5), 429).headers) == {"Retry-After": "30"}


def test_all_clients_together_may_do_so_much() -> None:
    made = guarded(rate_per_client=None, rate_overall=3)
    verdicts = [ask(made, at=1.0, address=f"192.0.2.{number}") for number in range(5)]
    assert [isinstance(one, str) for one in verdicts] == [True, True, True, False, False]


def test_a_refused_request_takes_nobodys_turn() -> None:
    made = guarded(rate_per_client=1, rate_overall=1, token=TOKEN)
    for _ in range(10):
        refused(ask(made), 401)
        refused(ask(made, "GET", "/admin"), 404)
    assert ask(made, headers={"Authorization": f"Bearer {TOKEN}"}) == "/scim/v2/Users"


def test_no_limit_at_all() -> None:
    made = guarded(rate_per_client=None, rate_overall=None)
    assert all(ask(made) == "/scim/v2/Users" for _ in range(100))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        (None, "", True),
        ("not:an:address", "not:another", True),
    ],
)
def test_who_is_the_same_client(one: str | None, other: str, same: bool) -> None:
    made = guarded(rate_per_client=1, rate_overall=None)
    assert ask(made, address=one) == "/scim/v2/Users"
    assert isinstance(ask(made, address=other), Refusal) is same


def test_the_memory_of_clients_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_MOST_CLIENTS", 3)
    made = guarded(rate_per_client=1, rate_overall=None)
    for number in (1, 2, 3):
        assert ask(made, address=f"192.0.2.{number}") == "/scim/v2/Users"
    refused(ask(made, address="192.0.2.1"), 429)  # seen again: the one forgotten next is 2
    assert ask(made, address="192.0.2.4") == "/scim/v2/Users"
    refused(ask(made, address="192.0.2.1"), 429)
    assert ask(made, address="192.0.2.2") == "/scim/v2/Users"
    assert len(made._rates._clients) == 3


# -- probes -------------------------------------------------------------------------------------------------------


def test_our_own_probe_is_answered_with_a_proof_before_anything_else() -> None:
    made = guarded(
        probe_key=KEY, token=TOKEN, allow=(), origin="https://abc.example", secret_path=SECRET, rate_overall=1
    )
    nonce = probe_nonce(KEY, "salt1")
    for _ in range(5):
        answer = ask(made, "GET", "/anywhere", headers={"Host": "evil", PROBE: nonce})
        assert isinstance(answer, Response)
        assert answer.status_code == 204
        assert answer.headers.get(PROBE) == probe_proof(KEY, nonce)
        assert answer.headers.get(answers.ORIGIN_HEADER) == "proxy"
        assert not answer.content.data
    assert probe_proof(KEY, nonce) not in nonce
    assert probe_proof(KEY, nonce) != probe_proof(KEY, probe_nonce(KEY, "salt2"))


@pytest.mark.parametrize(
    "nonce", ["", ".", "salt1", "salt1.", "salt1.00", probe_nonce(b"other", "salt1"), "\xe9.\ud800", "a.b.c"]
)
def test_a_nonce_that_is_not_ours_means_nothing(nonce: str) -> None:
    made = guarded(probe_key=KEY, methods=("GET",))
    assert ask(made, "GET", headers={PROBE: nonce}) == "/scim/v2/Users"
    refused(ask(made, "PUT", headers={PROBE: nonce}), 405)


def test_without_a_key_no_nonce_is_ours() -> None:
    assert ask(guarded(), headers={PROBE: probe_nonce(KEY, "salt1")}) == "/scim/v2/Users"


# -- answers ------------------------------------------------------------------------------------------------------


def test_a_refusal_is_recorded_with_more_than_the_client_is_told() -> None:
    failure, response = answers.turned_away(Refusal(421, "the reason", (("X-A", "b"),), told="go away"))
    assert (failure.kind, failure.side, failure.phase) == ("blocked", "proxy", "request")
    assert "the reason" in failure.message
    assert (response.status_code, response.reason) == (421, "Misdirected Request")
    assert response.headers.get("x-a") == "b"
    assert response.headers.get("content-type") == "application/scim+json"
    assert b"go away" in response.content.data and b"the reason" not in response.content.data
    _, plain = answers.turned_away(Refusal(429, "slowly"))
    assert b"slowly" in plain.content.data and b'"status": "429"' in plain.content.data


# -- whatever comes -----------------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        "/",
        "//",
        "\\",
        ".",
        "..",
        "...",
        "%2e",
        "%2E%2e",
        "%252e",
        "%25252e",
        "%2f",
        "%5c",
        "%c0%ae",
        "%c0%af",
        "%u002e",
        ";",
        ";a=b",
        "%00",
        "%3b",
        "%23",
        "%20",
        "?",
        "#",
        "x",
        "Users",
        "scim",
        "v2",
        "scim/v2",
        "%73cim",
        "À®",
        "é",
        "%",
    ]
)
PATHS = st.one_of(
    st.lists(PIECES, max_size=12).map(lambda pieces: "/" + "".join(pieces)),
    st.lists(PIECES, max_size=12).map(lambda pieces: "/scim/v2/" + "".join(pieces)),
    st.lists(PIECES, max_size=8).map(lambda pieces: "/scim/v2/Users/1/" + "/".join(pieces)),
)


def readings(path: str) -> set[str]:
    """What servers may read a path as: decoded any number of times, with what they cut and turn around."""
    found = set()
    raw = path.encode("latin-1")
    for _ in range(12):
        for data in (raw, raw.replace(b"\xc0\xae", b".").replace(b"\xc0\xaf", b"/").replace(b"%u002e", b".")):
            text = data.replace(b"\\", b"/").decode("latin-1")
            found.add(posixpath.normpath(text))
            for ends in (";", "\0", "#", "?", " "):
                found.add(posixpath.normpath("/".join(segment.split(ends)[0] for segment in text.split("/"))))
        raw = unquote_to_bytes(raw)
    return found


@given(PATHS)
@example("/scim/v2/%25252525252525252e%25252525252525252e/x")
def test_no_path_that_normalises_outside_of_the_base_passes(path: str) -> None:
    verdict = ask(guarded(), "GET", path)
    if isinstance(verdict, str):
        sent = verdict.partition("?")[0]
        for read in readings(sent):
            assert re.fullmatch(r"//?scim/v2(/.*)?", read, re.DOTALL), (path, read)


@given(PATHS, PATHS)
def test_no_path_passes_without_the_secret(path: str, other: str) -> None:
    made = guarded(secret_path=SECRET, target=Target("http", "h", 80))
    for target in (path, other + path):
        refused(ask(made, "GET", target), 404)


TEXT = st.text(max_size=40)
NAMES = st.one_of(
    st.sampled_from(["Host", "Authorization", PROBE, "Scimproxy-Via", "Content-Length", "X-HTTP-Method-Override", "X-Forwarded-For"]),
    TEXT,
)  # fmt: skip


@given(
    st.builds(
        Request,
        method=st.one_of(st.sampled_from(METHODS), TEXT),
        target=st.one_of(PATHS, TEXT, TEXT.map(lambda text: f"/{SECRET}/{text}")),
        headers=st.lists(st.tuples(NAMES, TEXT), max_size=6).map(Headers),
    ),
    st.one_of(st.none(), TEXT, st.ip_addresses().map(str)),
    st.floats(0, 1e9),
    st.booleans(),
)
def test_the_guard_never_raises(given_request: Request, address: str | None, at: float, everything: bool) -> None:
    more: dict[str, Any] = {
        "origin": "https://abc.example",
        "secret_path": SECRET,
        "token": TOKEN,
        "allow": (ipaddress.ip_network("0.0.0.0/1"), ipaddress.ip_network("::/1")),
        "mark": "feed",
        "probe_key": KEY,
    }
    made = guarded(rate_per_client=2, rate_overall=3, **(more if everything else {}))
    for later in (at, at + 1, at - 1):
        verdict = made.admit(given_request, caller(address), later)
        assert isinstance(verdict, str | Refusal)  # nobody guesses a nonce
        if isinstance(verdict, Refusal):
            answers.turned_away(verdict)
