from __future__ import annotations

from pathlib import Path

import pytest

from scimproxy.errors import UsageError
from scimproxy.tunnel.contract import Local
from scimproxy.tunnel.recipes import find_url
from scimproxy.tunnel.ssh import SERVICES, ssh_recipe

HERE = Local("127.0.0.1", 8000)
URL = "https://scim.example"


def test_to_a_host_of_ones_own() -> None:
    made = ssh_recipe(
        "me@host", public_url=URL, remote="127.0.0.1:18443", identity=Path("/k"), config=Path("/c"), port=2222
    )
    words = made.argv(HERE, "")
    assert words[:5] == ["ssh", "-T", "-N", "-v", "-F"]
    assert words[-4:] == ["-R", "127.0.0.1:18443:127.0.0.1:8000", "--", "me@host"]
    assert {"BatchMode=yes", "ExitOnForwardFailure=yes", "ServerAliveInterval=15"} <= set(words)
    assert words[words.index("-i") + 1] == "/k"
    assert words[words.index("-p") + 1] == "2222"
    assert made.pattern is None
    assert made.traits.stable_url is True
    assert not made.traits.vouches_for_client


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("localhost.run", "abc123.lhr.life tunneled with tls termination, https://abc123.lhr.life"),
        ("serveo", "Forwarding HTTP traffic from https://abc.serveo.net"),
        ("pinggy", "https://rnabc-1-2-3-4.a.free.pinggy.link"),
    ],
)
def test_to_a_public_service(name: str, line: str) -> None:
    made = ssh_recipe(name)
    words = made.argv(HERE, name)
    assert words[-1] == SERVICES[name][0]
    assert "127.0.0.1:8000" in words[words.index("-R") + 1]
    found = find_url(line, made)
    assert found is not None
    assert line.endswith(found)
    assert made.traits.stable_url is False
    assert made.traits.warning


@pytest.mark.parametrize(
    ("to", "url", "remote", "said"),
    [
        ("", URL, "127.0.0.1:1", "names no host"),
        ("-oProxyCommand=x", URL, "127.0.0.1:1", "names no host"),
        ("a b", URL, "127.0.0.1:1", "names no host"),
        ("me@host", None, "127.0.0.1:1", "needs --public-url"),
        ("me@host", URL, "8080", "is not address:port"),
        ("me@host", URL, "127.0.0.1:0", "is not address:port"),
        ("me@host", URL, ":80", "is not address:port"),
    ],
)
def test_what_cannot_be_used(to: str, url: str | None, remote: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        ssh_recipe(to, public_url=url, remote=remote)
