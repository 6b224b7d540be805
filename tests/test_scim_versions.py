"""Entity tags in If-Match and If-None-Match."""

from __future__ import annotations

import pytest

from scimproxy.exchange import Headers
from scimproxy.scim.dialect import Call, Dialect, Refusal
from scimproxy.scim.versions import is_current

VERSION = 'W/"2"'


def ask(method: str = "GET", *, etags: bool = True, **headers: str) -> bool:
    pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return is_current(Call(method, "/Users/1", headers=Headers(pairs)), VERSION, Dialect(etags=etags))


def test_a_call_without_conditions_is_carried_out() -> None:
    assert not ask()
    assert not ask("DELETE")


@pytest.mark.parametrize("tag", ["*", 'W/"2"', '"2"', 'W/"1", W/"2"'])
def test_the_current_version_is_recognised(tag: str) -> None:
    assert ask("GET", If_None_Match=tag)
    assert ask("HEAD", If_None_Match=tag)
    assert not ask("PUT", If_Match=tag)
    with pytest.raises(Refusal) as caught:
        ask("PUT", If_None_Match=tag)
    assert caught.value.status == 412 and VERSION in caught.value.detail


@pytest.mark.parametrize("tag", ['W/"1"', "2", "", "W/2"])
def test_other_versions_are_not(tag: str) -> None:
    assert not ask("GET", If_None_Match=tag)
    assert not ask("PUT", If_None_Match=tag)
    with pytest.raises(Refusal):
        ask("PATCH", If_Match=tag)
    assert not ask("PATCH", etags=False, If_Match=tag)
