from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scimproxy.doctor import Check, Owner
from scimproxy.doctor_tunnel import check_ngrok as check_real
from scimproxy.doctor_tunnel import examine_tunnel
from scimproxy.tunnel.process import PREFIX, Den


def check_ngrok(home: Path) -> list[Check]:
    return list(check_real(home, version=lambda _: (3, 39)))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("PYNGROK_NGROK_PATH", "XDG_CONFIG_HOME", "NGROK_AUTHTOKEN"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "bin").mkdir()
    return tmp_path


def agent(path: Path, content: bytes = b"\x7fELF") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o700)
    return path


def test_no_ngrok(home: Path) -> None:
    (check,) = check_ngrok(home)
    assert check.level == "warn"


def test_ngrok_without_a_token(home: Path) -> None:
    found = agent(home / "bin" / "ngrok")
    checks = check_ngrok(home)
    assert checks[0].message == f"agent 3.39 at {found}"
    assert checks[1].level == "warn"


def test_pyngroks_own_script_is_no_agent(home: Path) -> None:
    agent(home / "bin" / "ngrok", b"#!/usr/bin/python\nfrom pyngrok import ngrok\n")
    found = agent(home / ".config" / "ngrok" / "ngrok")
    assert check_ngrok(home)[0].message == f"agent 3.39 at {found}"


def test_nor_is_what_lies_beside_python(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent(home / "bin" / "ngrok")
    monkeypatch.setattr(sys, "executable", str(home / "bin" / "python"))
    assert check_ngrok(home)[0].level == "warn"


def test_an_agent_that_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = agent(home / "else" / "agent", b"#!/bin/sh\n")
    monkeypatch.setenv("PYNGROK_NGROK_PATH", str(named))
    assert check_ngrok(home)[0].message == f"agent 3.39 at {named}"


def test_an_agent_that_is_given_wins(home: Path) -> None:
    agent(home / "bin" / "ngrok")
    given = agent(home / "else" / "agent", b"#!/bin/sh\n")
    assert next(check_real(home, path=given, version=lambda _: (3, 39))).message == f"agent 3.39 at {given}"
    none = next(check_real(home, path=home / "none"))
    assert (none.name, none.level) == ("ngrok", "fail")
    assert str(home / "none") in none.message


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("version: 3\nagent:\n  authtoken: 2abcSECRET\n", "ok"),
        ("authtoken: '2abcSECRET'\n", "ok"),
        ("version: 3\nagent:\n  authtoken:\n", "warn"),
        ("# authtoken: 2abcSECRET\n", "warn"),
    ],
)
def test_a_token_in_the_configuration_is_never_shown(text: str, level: str, home: Path) -> None:
    agent(home / "bin" / "ngrok")
    (home / ".config" / "ngrok").mkdir(parents=True)
    (home / ".config" / "ngrok" / "ngrok.yml").write_text(text)
    checks = check_ngrok(home)
    assert checks[-1].level == level
    assert "SECRET" not in repr(checks)


def test_a_token_in_the_environment_is_never_shown(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NGROK_AUTHTOKEN", "2abcSECRET")
    checks = check_ngrok(home)
    assert checks[-1] == Check("ngrok token", "ok", "in NGROK_AUTHTOKEN")
    assert "SECRET" not in repr(checks)


def test_an_agent_that_is_too_old_or_none(home: Path) -> None:
    agent(home / "bin" / "ngrok")
    old = next(iter(check_real(home, version=lambda _: (2, 3))))
    assert (old.level, old.hint) == ("warn", "`scimproxy tunnel install`")
    (check, token) = list(check_real(home))  # four bytes are no program
    assert (check.level, token.level) == ("fail", "warn")


def test_a_configuration_that_is_none(home: Path) -> None:
    (home / ".config" / "ngrok").mkdir(parents=True)
    (home / ".config" / "ngrok" / "ngrok.yml").write_text("authtoken: 'SECRET\n")
    check = check_ngrok(home)[-1]
    assert (check.name, check.level) == ("ngrok token", "fail")
    assert "SECRET" not in repr(check)


def examine(name: str, **more: object) -> dict[str, Check]:
    settings: dict[str, object] = {"resolve": lambda _: "192.0.2.1", "owner": lambda _: None, **more}
    return {check.name: check for check in examine_tunnel(name, **settings)}  # type: ignore[arg-type]


def test_ngrok_in_order(tmp_path: Path) -> None:
    checks = examine("ngrok")
    assert list(checks) == ["port 4040", "dns", "proxies", "clock"]
    assert {check.level for check in checks.values()} == {"ok"}


def test_another_agent_is_named() -> None:
    check = examine("ngrok", owner=lambda port: Owner("ngrok", port, is_ours=False))["port 4040"]
    assert (check.level, "pid 4040" in check.message) == ("warn", True)
    check = examine("ngrok", owner=lambda port: Owner("python", port, is_ours=False))["port 4040"]
    assert check.level == "ok"


def test_no_dns() -> None:
    def fail(_: str) -> str:
        raise OSError(-2, "Name or service not known")

    check = examine("ngrok", resolve=fail)["dns"]
    assert (check.level, "Name or service not known" in check.message) == ("fail", True)


def test_proxies_are_named_without_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://me:SECRET@proxy.example:3128")
    check = examine("ngrok")["proxies"]
    assert (check.level, "https_proxy" in check.message) == ("warn", True)
    assert "SECRET" not in repr(check)


def test_a_clock_that_is_wrong() -> None:
    assert examine("ngrok", clock=lambda: 0.0)["clock"].level == "fail"


@pytest.mark.parametrize(("name", "program"), [("ssh:me@host", "ssh"), ("bore:bore.pub", "bore")])
def test_a_program_is_looked_for(name: str, program: str, home: Path) -> None:
    assert examine(name)["tunnel"].level == "fail"
    agent(home / "bin" / program)
    assert examine(name)["tunnel"] == Check("tunnel", "ok", f"{program} at {home / 'bin' / program}")


def test_a_tunnel_that_nobody_knows() -> None:
    assert examine("ngork")["tunnel"].level == "warn"


def test_leftovers_are_shown(tmp_path: Path) -> None:
    den = Den()
    assert "leftovers" not in examine("ngrok")
    den.write("owner.json", '{"pid": 999999999, "started": null}')
    assert str(den.folder) in examine("ngrok")["leftovers"].message
    assert den.folder.name.startswith(PREFIX)
    den.end_group()
