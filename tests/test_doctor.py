from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
import ssl
from contextlib import closing
from pathlib import Path
from typing import Any

import factories
import pytest
import trustme
from click.testing import CliRunner, Result
from listeners import CONFIG, free_port, http, listener

from scimproxy import doctor
from scimproxy.cli import cli
from scimproxy.demo import serve
from scimproxy.doctor import Check, check_database, check_port, check_target, check_versions, port_owner
from scimproxy.proxy.engine import Address, Target
from scimproxy.store import Store

LISTEN = Address("127.0.0.1", 8080)


def target(port: int, base_path: str = "/scim/v2", *, scheme: str = "http", host: str = "127.0.0.1") -> Target:
    return Target(scheme, host, port, base_path)


def examine(it: Target, token: str | None = None) -> list[Check]:
    return list(check_target(it, listen=LISTEN, token=token))


def worst(checks: list[Check]) -> Check:
    return max(checks, key=lambda check: ["ok", "warn", "fail"].index(check.level))


# --- the target


def test_a_scim_server_is_fine() -> None:
    with listener(lambda _: http(200, CONFIG)) as port:
        checks = examine(target(port))
    assert [(check.name, check.level) for check in checks] == [("target", "ok"), ("scheme", "ok"), ("scim", "ok")]


def test_a_server_that_wants_credentials_is_fine() -> None:
    with listener(lambda _: http(401)) as port:
        without, with_token = examine(target(port)), examine(target(port), token="wrong")
    assert worst(without).level == "ok"
    assert "SCIMPROXY_TOKEN" in (without[-1].hint or "")
    assert worst(with_token).level == "warn"


def test_nobody_listens() -> None:
    (check,) = examine(target(free_port()))
    assert check.level == "fail"
    assert "nothing answers" in check.message
    assert "start your SCIM server" in (check.hint or "")


def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(doctor.socket, "getaddrinfo", fails)
    (check,) = examine(target(80, host="nowhere.invalid"))
    assert "'nowhere.invalid' cannot be resolved" in check.message


def test_a_name_that_is_none() -> None:
    (check,) = examine(target(80, host="a" * 70 + ".example"))
    assert check.level == "fail"


def test_localhost_with_one_answering_address(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo

    def both(host: str, port: int, *given: Any, **named: Any) -> list[Any]:
        if host != "localhost":
            return resolve(host, port, *given, **named)
        return [*resolve("::1", port, type=socket.SOCK_STREAM), *resolve("127.0.0.1", port, type=socket.SOCK_STREAM)]

    with listener(lambda _: http(200, CONFIG)) as port:
        monkeypatch.setattr(doctor.socket, "getaddrinfo", both)
        check, *rest = examine(target(port, host="localhost"))
    assert check.level == "warn"
    assert "only 127.0.0.1 answers" in check.message
    assert check.hint == f"write the address: http://127.0.0.1:{port}/scim/v2"
    assert [it.level for it in rest] == ["ok", "ok"]


def test_http_to_a_tls_port() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with listener(lambda _: http(200, CONFIG), tls=context) as port:
        plain, secure = examine(target(port)), examine(target(port, scheme="https"))
    assert plain[-1].hint == f"write TARGET as https://127.0.0.1:{port}/scim/v2"
    assert "certificate" in secure[-1].message
    assert "--upstream-ca" in (secure[-1].hint or "")


def test_https_to_a_plain_port() -> None:
    with listener(lambda _: http(200, CONFIG)) as port:
        checks = examine(target(port, scheme="https"))
    assert checks[-1].hint == f"write TARGET as http://127.0.0.1:{port}/scim/v2"


def test_something_that_is_not_http() -> None:
    with listener(lambda _: b"220 mail.example ESMTP\r\n\r\n") as port:
        checks = examine(target(port))
    assert "does not answer HTTP" in checks[-1].message


@pytest.mark.parametrize(
    ("base_path", "word"), [("", "is missing"), ("/scim/v2/scim/v2", "is doubled"), ("/other", "is not the server's")]
)
def test_the_base_path_is_found(base_path: str, word: str) -> None:
    with listener(lambda path: http(200, CONFIG) if path == "/scim/v2/ServiceProviderConfig" else http(404)) as port:
        check = examine(target(port, base_path))[-1]
    assert check.level == "fail"
    assert word in check.message
    assert check.hint == f"write TARGET as http://127.0.0.1:{port}/scim/v2"


def test_a_base_path_that_goes_too_far() -> None:
    with listener(lambda path: http(401) if path == "/my/scim/ServiceProviderConfig" else http(404)) as port:
        check = examine(target(port, "/my/scim/Users"))[-1]
    assert check.hint == f"write TARGET as http://127.0.0.1:{port}/my/scim"


def test_no_base_path_fits() -> None:
    with listener(lambda _: http(404)) as port:
        check = examine(target(port, "/nothing"))[-1]
    assert check.level == "warn"


@pytest.mark.parametrize(
    ("location", "word"),
    [
        ("/scim/v2/ServiceProviderConfig/", "no slash at the end"),
        ("https://127.0.0.1/scim/v2/ServiceProviderConfig", "with https"),
        ("/login", "do not follow redirects"),
    ],
)
def test_redirects(location: str, word: str) -> None:
    with listener(lambda _: http(301, location=location)) as port:
        check = examine(target(port))[-1]
    assert check.level in {"warn", "fail"}
    assert word in (check.hint or "")


@pytest.mark.parametrize(
    ("answer", "level"),
    [
        (http(500), "fail"),
        (http(200, b"<html>", media_type="text/html"), "fail"),
        (http(200, b"{}", media_type="application/json"), "warn"),
        (http(200, b"{}", media_type=""), "warn"),
    ],
)
def test_answers_that_are_not_scim(answer: bytes, level: str) -> None:
    with listener(lambda _: answer) as port:
        assert examine(target(port))[-1].level == level


def test_the_target_is_ourselves() -> None:
    (check,) = examine(target(LISTEN.port, host="localhost"))
    assert check.level == "fail"
    assert "itself" in check.message


# --- the port


def test_a_free_port() -> None:
    assert check_port(Address("127.0.0.1", free_port())).level == "ok"


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="only Linux tells who listens")
def test_a_taken_port_and_by_whom() -> None:
    with listener(lambda _: b"") as port:
        check = check_port(Address("127.0.0.1", port))
    assert check.level == "fail"
    assert f"(pid {os.getpid()})" in check.message


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="only Linux tells who listens")
def test_a_port_that_a_recording_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def ours(line: bytes) -> bool:
        asked.append(line)
        return True

    monkeypatch.setattr(doctor, "_is_ours", ours)
    with listener(lambda _: b"") as port:
        check = check_port(Address("127.0.0.1", port))
    assert (check.level, check.hint) == ("ok", "a second one needs another --port")
    assert f"a recording of scimproxy runs on 127.0.0.1:{port} (pid {os.getpid()})" in check.message
    assert asked == [Path("/proc/self/cmdline").read_bytes()]


@pytest.mark.parametrize(
    ("line", "ours"),
    [
        (b"/x/bin/python3\0/x/bin/scimproxy\0up\0http://127.0.0.1:1\0", True),
        (b"python\0-m\0scimproxy\0up\0", True),
        (b"/usr/bin/scimproxy\0up\0", True),
        (b"python3\0server.py\0--beside\0--of\0scimproxy\0", False),
        (b"nginx: master process\0", False),
        (b"", False),
    ],
)
def test_our_own_process_is_known_by_how_it_was_started(line: bytes, ours: bool) -> None:
    assert doctor._is_ours(line) is ours


def test_who_listens_is_not_known_everywhere(tmp_path: Path) -> None:
    assert port_owner(80, proc=tmp_path) is None
    assert port_owner(free_port()) is None


def test_a_port_that_needs_privileges(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refused)
    assert "above 1023" in (check_port(Address("127.0.0.1", 80)).hint or "")


@pytest.mark.parametrize("host", ["192.0.2.1", "::ffff:nonsense"])
def test_an_address_that_is_not_ours(host: str) -> None:
    assert "no address of this machine" in check_port(Address(host, 0)).message


# --- the database


def recorded(path: Path) -> Path:
    with Store.open(path) as store:
        store.start_run(factories.run())
        store.add(factories.exchange(answer={"id": "1"}))
    return path


def test_no_database_yet(tmp_path: Path) -> None:
    (check,) = check_database(tmp_path / "recordings" / "a.db")
    assert check.level == "ok"


def test_a_sound_database(tmp_path: Path) -> None:
    (check,) = check_database(recorded(tmp_path / "a.db"))
    assert check.level == "ok"
    assert "sound" in check.message


def test_a_database_that_others_can_read(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.db")
    path.chmod(0o644)
    assert worst(list(check_database(path))).hint == f"chmod 600 {path}"


def test_something_else_than_a_database(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_text("no database, but long enough")
    path.chmod(0o600)
    (check,) = check_database(path)
    assert check.level == "fail"
    assert "not a SQLite database" in check.message


def test_a_damaged_database(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.db")
    data = bytearray(path.read_bytes())
    for page in range(4096, len(data), 4096):
        data[page : page + 200] = b"\xff" * min(200, len(data) - page)
    path.write_bytes(data)
    checks = list(check_database(path))
    assert worst(checks).level == "fail"


def test_a_locked_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = recorded(tmp_path / "a.db")
    monkeypatch.setattr("scimproxy.store.connecting.BUSY_MS", 10)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        (check,) = check_database(path)
    assert check.level == "fail"
    assert "locked by another process" in check.message


def test_looking_leaves_the_log_of_a_recording_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(recorded(path), isolation_level=None)) as other:
        other.execute("PRAGMA wal_autocheckpoint = 0")
        other.execute("UPDATE runs SET note = 'written'")
        log = path.with_name("a.db-wal")
        before = (path.read_bytes(), log.read_bytes())
        assert worst(list(check_database(path))).level == "ok"
        assert (path.read_bytes(), log.read_bytes()) == before


def test_a_folder_that_is_not_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    (check,) = check_database(tmp_path / "deep" / "a.db")
    assert "not writable" in check.message


def test_a_disk_that_is_nearly_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_LEAST_FREE", 2**70)
    assert next(iter(check_database(tmp_path / "a.db"))).name == "disk"


# --- versions


def test_versions_of_this_machine() -> None:
    assert [check.level for check in check_versions()] == ["ok", "ok"]


@pytest.mark.parametrize(
    ("version", "level"), [("12.2.0", "ok"), ("12.1.9", "warn"), ("13.0", "warn"), ("x", "warn")]
)
def test_versions_of_mitmproxy(version: str, level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.metadata, "version", lambda _: version)
    assert list(check_versions())[-1].level == level


def test_no_mitmproxy(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> str:
        raise doctor.metadata.PackageNotFoundError

    monkeypatch.setattr(doctor.metadata, "version", missing)
    assert list(check_versions())[-1].level == "fail"


def test_everything_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("PYNGROK_NGROK_PATH", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    with listener(lambda _: http(200, CONFIG)) as port:
        names = [
            check.name
            for check in doctor.examine(
                target=target(port), db=tmp_path / "a.db", listen=Address("127.0.0.1", free_port()), home=tmp_path
            )
        ]
    assert names == ["target", "scheme", "scim", "port", "database", "python", "mitmproxy", "ngrok"]


async def test_the_token_comes_from_where_it_is_kept(tmp_path: Path) -> None:
    async with await serve() as server:
        runner = CliRunner(env={"SCIMPROXY_TOKEN": server.token, "OTHER": "a-wrong-one"})

        async def look(*more: str) -> Result:
            words = ["doctor", server.url, "--db", str(tmp_path / "a.db"), "--port", str(free_port()), *more]
            return await asyncio.to_thread(runner.invoke, cli, words)

        right, wrong, refused = await look(), await look("--token", "env:OTHER"), await look("--token", "literal-one")
    assert "401" not in right.stdout
    assert "401" in wrong.stdout
    assert refused.exit_code == 2
    assert "--token takes no token" in refused.stderr
    assert not [secret for secret in (server.token, "a-wrong-one") if secret in right.output + wrong.output]
    assert "literal-one" not in refused.output
