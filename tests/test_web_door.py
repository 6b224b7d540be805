"""Who may come in: hosts, origins, sites, the token and its cookie."""

from __future__ import annotations

import pytest

from scimproxy.web.door import Asked, Door

TOKEN = "a-token-that-nobody-guesses"
DOOR = Door(TOKEN, 8081)
OURS = "127.0.0.1:8081"


@pytest.mark.parametrize("host", ["127.0.0.1:8081", "localhost:8081", "LOCALHOST:8081", "[::1]:8081"])
def test_our_own_names_are_answered(host: str) -> None:
    assert DOOR.foreign(Asked("GET", host)) is None


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "127.0.0.1",
        "127.0.0.1:8080",
        "evil.example:8081",
        "abc.ngrok.app",
        "127.0.0.1:8081.evil.example",
        "[::1]",
    ],
)
def test_other_names_that_lead_here_are_refused(host: str | None) -> None:
    """DNS rebinding: the name is the attacker's. And the public name of a tunnel."""
    refused = DOOR.foreign(Asked("GET", host))
    assert refused is not None
    assert refused.status == 421


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "https://127.0.0.1:8081", "http://127.0.0.1:8080", "http://localhost:8081"],
)
def test_other_pages_are_refused(origin: str) -> None:
    refused = DOOR.foreign(Asked("POST", OURS, origin=origin))
    assert refused is not None
    assert refused.status == 403


def test_our_own_page_is_answered() -> None:
    assert DOOR.foreign(Asked("POST", OURS, origin=f"http://{OURS}", fetch_site="same-origin")) is None


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites_are_refused_but_for_a_person_who_follows_a_link(site: str) -> None:
    assert DOOR.foreign(Asked("GET", OURS, fetch_site=site, fetch_mode="no-cors", fetch_dest="image")) is not None
    assert (
        DOOR.foreign(Asked("POST", OURS, fetch_site=site, fetch_mode="navigate", fetch_dest="document")) is not None
    )
    assert DOOR.foreign(Asked("GET", OURS, fetch_site=site, fetch_mode="navigate", fetch_dest="iframe")) is not None
    assert DOOR.foreign(Asked("GET", OURS, fetch_site=site, fetch_mode="navigate", fetch_dest="document")) is None


def test_the_token_opens() -> None:
    assert DOOR.takes(TOKEN)
    assert DOOR.knows(Asked("DELETE", OURS, authorization=f"Bearer {TOKEN}"))
    assert DOOR.knows(Asked("GET", OURS, authorization=f"bearer  {TOKEN} "))


@pytest.mark.parametrize("given", ["", "x", TOKEN[:-1], TOKEN + "x", "\ud800", "ü", "x" * 600])
def test_no_other_token_does(given: str) -> None:
    assert not DOOR.takes(given)
    assert not DOOR.knows(Asked("GET", OURS, authorization=f"Bearer {given}"))
    assert not DOOR.knows(Asked("GET", OURS, cookie=given))


def test_a_wrong_header_is_not_mended_by_the_cookie() -> None:
    assert not DOOR.knows(Asked("GET", OURS, authorization=f"Basic {TOKEN}", cookie=DOOR.cookie))


def test_the_cookie_reads_and_changes_only_for_our_own_page() -> None:
    assert DOOR.knows(Asked("GET", OURS, cookie=DOOR.cookie))
    assert not DOOR.knows(Asked("DELETE", OURS, cookie=DOOR.cookie))
    assert DOOR.knows(Asked("DELETE", OURS, cookie=DOOR.cookie, origin=f"http://{OURS}"))
    assert DOOR.knows(Asked("DELETE", OURS, cookie=DOOR.cookie, fetch_site="same-origin"))


def test_nothing_opens_nothing() -> None:
    assert not DOOR.knows(Asked("GET", OURS))
    assert not DOOR.knows(Asked("GET", OURS, cookie=TOKEN))


def test_each_start_has_a_cookie_of_its_own() -> None:
    assert Door("another-token-altogether", 8081).cookie != DOOR.cookie
    assert TOKEN not in DOOR.cookie
    assert Door(TOKEN, 9000).cookie_name != DOOR.cookie_name
