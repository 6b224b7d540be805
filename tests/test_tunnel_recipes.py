from __future__ import annotations

import pytest

from scimproxy.errors import UsageError
from scimproxy.tunnel.contract import Local
from scimproxy.tunnel.recipes import RECIPES, command_recipe, find_url, recipe

HERE = Local("127.0.0.1", 8080)


@pytest.mark.parametrize("name", ["cloudflared", "frp", "bore", "zrok", "devtunnel", "tailscale", "localtunnel"])
def test_the_programs_that_people_have(name: str) -> None:
    made = RECIPES[name]
    words = made.argv(HERE, "the-server")
    assert not [word for word in words if "{" in word]
    assert any("8080" in word or "the-server" in word for word in words)
    assert made.install
    assert not made.traits.vouches_for_client


@pytest.mark.parametrize(
    ("name", "line", "url"),
    [
        ("cloudflared", "INF |  https://a-b-c.trycloudflare.com      |", "https://a-b-c.trycloudflare.com"),
        ("cloudflared", "INF Requesting new quick Tunnel on trycloudflare.com...", None),
        ("localtunnel", "your url is: https://abc.loca.lt", "https://abc.loca.lt"),
        ("bore", "2026 INFO bore_cli::client: listening at bore.pub:41234", "http://bore.pub:41234"),
        ("zrok", "access your zrok share at: https://abc.share.zrok.io", "https://abc.share.zrok.io"),
        ("devtunnel", "Hosting port: 8080", None),
        (
            "devtunnel",
            "Connect via browser: https://abc.euw.devtunnels.ms:8080, https://abc-8080.euw.devtunnels.ms",
            "https://abc-8080.euw.devtunnels.ms",
        ),
        ("tailscale", "https://host.tail1234.ts.net/", "https://host.tail1234.ts.net"),
        ("frp", "https://abc.example", None),
    ],
)
def test_how_they_tell_their_url(name: str, line: str, url: str | None) -> None:
    assert find_url(line, RECIPES[name]) == url


def test_the_same_url_again_where_the_program_can() -> None:
    words = RECIPES["localtunnel"].argv(HERE, "", "https://abc.loca.lt")
    assert words[-2:] == ["--subdomain", "abc"]
    assert "--subdomain" not in RECIPES["localtunnel"].argv(HERE, "")
    assert RECIPES["bore"].argv(HERE, "s", "http://s:1") == RECIPES["bore"].argv(HERE, "s")


def test_what_a_recipe_needs() -> None:
    assert recipe("bore", "bore.pub").name == "bore"
    with pytest.raises(UsageError, match="needs to know more"):
        recipe("bore", "")
    with pytest.raises(UsageError, match="takes nothing after its name"):
        recipe("cloudflared", "x")


def test_a_command_of_the_users_own() -> None:
    made = command_recipe("my-tunnel --to 'a b' {host}:{port} {other}", None)
    assert made.argv(HERE, "") == ["my-tunnel", "--to", "a b", "127.0.0.1:8080", "{other}"]
    assert find_url("local http://127.0.0.1:8080, public https://x.example:8443/.", made) == "https://x.example:8443"
    assert find_url("nothing", made) is None
    named = command_recipe("x {url}", r"id=(\w+)")
    assert named.argv(HERE, "") == ["x", "http://127.0.0.1:8080"]
    assert find_url("id=abc", named) is None  # not a URL


@pytest.mark.parametrize(
    ("text", "pattern", "said"),
    [
        ("x 'open {port}", None, "No closing quotation"),
        ("", None, "names no program"),
        ("x --port 8080", None, "does not say where the tunnel leads"),
        ("x {port}", "(", "--tunnel-url-pattern"),
    ],
)
def test_commands_that_are_none(text: str, pattern: str | None, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        command_recipe(text, pattern)
