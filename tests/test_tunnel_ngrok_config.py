from __future__ import annotations

import pytest
import yaml

from scimproxy.tunnel.contract import TunnelError
from scimproxy.tunnel.ngrok_config import Known, agent_config, read_config


def test_the_users_file_of_version_3() -> None:
    known = read_config(
        "version: 3\nagent:\n  authtoken: T\n  proxy_url: http://p:1\n  web_addr: 127.0.0.1:1\nendpoints:\n- name: a\n",
        "f",
    )
    assert (known.token, known.connecting) == ("T", {"proxy_url": "http://p:1"})
    assert "'T'" not in repr(known)


def test_the_users_file_of_version_2() -> None:
    text = "version: '2'\nauthtoken: 123\nserver_addr: s:443\nroot_cas: /ca\ntunnels:\n  pyngrok-default: {}\n"
    known = read_config(text, "f")
    assert (known.token, known.connecting) == ("123", {"server_addr": "s:443", "root_cas": "/ca"})


@pytest.mark.parametrize("text", ["", "# nothing\n", "version: 3\nagent:\n", "region: null\n"])
def test_a_file_without_a_token(text: str) -> None:
    assert read_config(text, "f") == Known()


@pytest.mark.parametrize("text", ["authtoken: 'SECRET\n", "- SECRET\n", "SECRET", "a: b: SECRET", "\x00SECRET"])
def test_what_is_no_configuration_is_told_without_showing_it(text: str) -> None:
    with pytest.raises(TunnelError, match=r"^my\.yml") as caught:
        read_config(text, "my.yml")
    assert caught.value.fatal
    assert "SECRET" not in repr(caught.value)


def test_our_file_for_each_age_of_the_agent() -> None:
    def made(version: tuple[int, int], token: str | None = "T") -> dict[str, object]:
        text = agent_config(version, token=token, web_port=1, connecting={"proxy_url": "x"})
        document: dict[str, object] = yaml.safe_load(text)
        return document

    newest, middle, oldest = made((3, 39)), made((3, 20)), made((2, 3))
    agent = newest["agent"]
    assert newest["version"] == "3"
    assert isinstance(agent, dict)
    assert agent["authtoken"] == "T"
    assert agent["web_addr"] == "127.0.0.1:1"
    assert (agent["inspect_db_size"], agent["remote_management"], agent["update_check"]) == (-1, False, False)
    assert middle["version"] == "2"
    assert (middle["authtoken"], middle["proxy_url"]) == ("T", "x")
    assert "version" not in oldest
    assert (oldest["update"], oldest["console_ui"]) == (False, False)
    assert "authtoken" not in made((2, 3), None)
