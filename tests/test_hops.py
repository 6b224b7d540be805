from __future__ import annotations

import pytest

from scimproxy.hops import is_of_the_way


@pytest.mark.parametrize("name", ["Connection", "TE", "Via", "Forwarded", "X-Forwarded-For", "CF-Ray", "X-Real-IP"])
def test_fields_of_the_way(name: str) -> None:
    assert is_of_the_way(name)


@pytest.mark.parametrize("name", ["Viaduct", "Forwarded-By", "Authorization", "Content-Type", "If-Match"])
def test_fields_of_the_message(name: str) -> None:
    assert not is_of_the_way(name)
