"""cli.guard: the guard's options of `scimproxy up`, from the command line to the wire and the database."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from listeners import http, listener
from recording import Up, command, environment

from scimproxy.cli import cli
from scimproxy.cli.guard import guard_from, guard_words
from scimproxy.errors import UsageError
from scimproxy.exchange import fingerprint
from scimproxy.proxy.engine import METHODS, GuardOptions
from scimproxy.store import Reader

USER = b'{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"1","userName":"bjensen"}'
SECRET = "0123456789abcdef0123456789abcdef"
TOKEN = "a-token-of-some-length"
RANGES = {"us_cell_1": {"ip_ranges": ["192.0.2.0/24"]}}


@pytest.fixture
def upstream() -> Iterator[str]:
    with listener(lambda target: http(200, USER) if target.startswith("/scim/v2/") else http(404)) as port:
        yield f"http://127.0.0.1:{port}/scim/v2"


def chosen(*, exposed: bool = False, vouched: bool = False, **given: Any) -> GuardOptions | None:
    names = ["max_body", "methods", "secret_path", "require_token", "okta_ranges", "rate_limit", "rate_limit_all"]
    return guard_from({**dict.fromkeys(names), "allow": (), **given}, exposed=exposed, vouched=vouched)


def made(**given: Any) -> GuardOptions:
    guard = chosen(**given)
    assert guard is not None
    return guard


# -- values -------------------------------------------------------------------------------------------------------


def test_nobody_guards_what_nobody_reaches() -> None:
    assert chosen() is None
    plain = made(exposed=True)
    assert plain == GuardOptions(mark=plain.mark, probe_key=plain.probe_key)
    assert plain.mark and plain.probe_key and len(plain.probe_key) == 32
    assert plain.mark != made(exposed=True).mark


@pytest.mark.parametrize("given", [{"max_body": 5}, {"methods": "GET"}, {"rate_limit": 0}, {"secret_path": "auto"}])
def test_any_option_puts_the_guard_there(given: dict[str, Any]) -> None:
    assert chosen(**given) is not None


def test_methods_and_rates() -> None:
    guard = made(methods="get, head,GET", rate_limit=0, rate_limit_all=7, max_body=5)
    assert (guard.methods, guard.rate_per_client, guard.rate_overall, guard.max_body) == (("GET", "HEAD"), None, 7, 5)
    assert made(exposed=True).methods == METHODS


def test_where_a_token_may_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", TOKEN)
    (tmp_path / "t").write_text(f"{TOKEN}\n")
    assert made(require_token="env:MY_TOKEN").token == TOKEN
    assert made(require_token=f"file:{tmp_path / 't'}").token == TOKEN


def test_secrets_that_are_made(tmp_path: Path) -> None:
    one, two = made(secret_path="auto").secret_path, made(secret_path="auto").secret_path
    assert one and two and one != two and len(one) == 32 and set(one) <= set("0123456789abcdef")
    path = tmp_path / "secret"
    kept = made(secret_path=f"file:{path}").secret_path
    assert kept and made(secret_path=f"file:{path}").secret_path == kept
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert made(secret_path=f"/{SECRET}/").secret_path == SECRET


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"require_token": TOKEN}, "takes no token"),
        ({"require_token": "env:"}, "takes no token"),
        ({"require_token": f"Bearer:{TOKEN}"}, "takes no token"),
        ({"require_token": "env:NOT_THERE"}, "the variable NOT_THERE holds nothing"),
        ({"require_token": "env:SHORT"}, "at least 16"),
        ({"require_token": "env:SPACED"}, "at least 16 visible"),
        ({"require_token": "env:WIDE"}, "ASCII"),
        ({"require_token": "file:/nonexistent/x"}, "cannot be read: No such file"),
        ({"secret_path": "short"}, "16 to 128 letters"),
        ({"secret_path": "with/slashes/in/the/middle"}, "16 to 128 letters"),
        ({"secret_path": "env:SHORT"}, "16 to 128 letters"),
        ({"secret_path": "file:/nonexistent/x"}, "cannot be made: No such file"),
        ({"secret_path": "-", "require_token": "-"}, "both want stdin"),
        ({"methods": "GET,P OST"}, "'P OST' is no method"),
        ({"methods": "GET,"}, "'' is no method"),
        ({"methods": "CONNECT"}, "'CONNECT' is no method"),
        ({"allow": ("192.0.2.0/24",)}, "nobody vouches for it"),
        ({"allow": ("okta",)}, "nobody vouches for it"),
        ({"allow": ("x",), "vouched": True}, "'x' is neither okta nor a network"),
        ({"allow": ("192.0.2.1/24",), "vouched": True}, "host bits"),
        ({"allow": ("okta",), "vouched": True}, "none is fetched unasked"),
        ({"okta_ranges": Path("x")}, "only for --allow okta"),
        ({"allow": ("okta",), "vouched": True, "okta_ranges": Path("/nonexistent")}, "cannot be read"),
    ],
)
def test_values_that_cannot_be_used(
    given: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SHORT", "geheim")
    monkeypatch.setenv("SPACED", "geheim geheim geheim")
    monkeypatch.setenv("WIDE", "geheim-\u00e9-geheim-geheim")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UsageError) as told:
        chosen(**given)
    assert said in told.value.message
    assert told.value.hint
    assert TOKEN not in told.value.message + told.value.hint
    assert "geheim" not in told.value.message + told.value.hint


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UsageError, match="it is not text"):
        chosen(require_token=f"file:{tmp_path / 't'}")


def test_networks_and_oktas_ranges_with_their_date(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "ranges.json"
    path.write_text(json.dumps(RANGES))
    guard = made(allow=("10.0.0.0/8", "okta", "2001:db8::1"), okta_ranges=path, vouched=True)
    assert [str(network) for network in guard.allow or ()] == ["10.0.0.0/8", "192.0.2.0/24", "2001:db8::1/128"]
    told = " ".join(capsys.readouterr().err.split())
    assert told.startswith("Note: Okta's list of ") and "1 range" in told and str(path) in told.replace(" ", "")
    os.utime(path, (time.time() - 40 * 86400,) * 2)
    made(allow=("okta",), okta_ranges=path, vouched=True)
    told = capsys.readouterr().err
    assert told.startswith("Warning: Okta's") and "okta-ranges --fetch" in told


def test_the_guard_in_words() -> None:
    everybody = guard_words(GuardOptions())
    assert (
        everybody
        == "open to everybody; GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS; bodies up to 10 MiB; 3,000 requests/min"
    )
    asking = guard_words(
        GuardOptions(token=TOKEN, secret_path=SECRET, allow=(), methods=("GET",), max_body=None, rate_per_client=None)
    )
    assert asking == "asks for a bearer token and the secret path and an address on the list; GET"


# -- the command --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--require-token", TOKEN], "takes no token"),
        (["--allow", "192.0.2.0/24"], "nobody vouches"),
        (["--secret-path", SECRET, "--public-url", f"https://a.example/{SECRET}/x"], "--public-url holds the secret"),
        (["--secret-path", SECRET, "--tunnel", "ngrok", "--url", f"a.example/{SECRET}"], "--url holds the secret"),
        (["--max-body", "ten"], "'ten' is not a size"),
        (["--rate-limit", "many"], "'many' is not a number"),
    ],
)
def test_what_cannot_be_used_is_told(args: list[str], said: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["up", "8000", *args, "--db", str(tmp_path / "a.db")])
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert TOKEN not in result.output
    assert not (tmp_path / "a.db").exists()


@pytest.mark.parametrize("engine", ["native", "mitmproxy"])
def test_a_guarded_recording(engine: str, upstream: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    given = [
        "--public-url",
        "https://abc.example/scim/v2",
        "--require-token",
        f"file:{token}",
        "--secret-path",
        f"file:{tmp_path / 's'}",
    ]
    with Up(
        upstream,
        tmp_path / "a.db",
        "--engine",
        engine,
        "--keep-secrets",
        *given,
        "--methods",
        "GET,PUT",
        "--max-body",
        "9",
    ) as up:
        secret = (tmp_path / "s").read_text().strip()
        assert up.ready["public_url"] == f"https://abc.example/{secret}/scim/v2"
        assert up.url.endswith(f"/{secret}/scim/v2")
        auth = {"Authorization": f"Bearer {TOKEN}"}
        assert up.ask(path="/Users/1", **auth) == (200, USER)
        assert up.ask()[0] == 401
        assert up.ask("DELETE", **auth)[0] == 405
        assert up.ask("PUT", body=b"x" * 10, **auth)[0] == 413
        assert up.ask(**auth, Host="evil.example")[0] == 421
        assert up.ask(**auth, Host="abc.example")[0] == 200
        up.url = up.url.replace(secret, secret[::-1])
        assert up.ask(**auth)[0] == 404
        stopped = up.stop()
        seen = json.dumps([event for event in up.seen if event["event"] not in {"ready", "tunnel"}])  # URLs to paste
    assert (up.code, stopped["exchanges"], stopped["failures"]) == (0, 7, 5)
    assert not any(event["event"] == "notice" for event in up.seen)  # a token is required: no warning
    assert secret not in seen
    mark = fingerprint(secret)
    with Reader.open(tmp_path / "a.db") as reader:
        first, refused = reader.exchange(1), reader.exchange(2)
    assert first is not None and refused is not None and refused.failure is not None
    assert first.request.target == f"/{mark}/scim/v2/Users/1"
    assert first.upstream_request_target == "/scim/v2/Users/1"
    assert "no bearer token" in refused.failure.message
    stored = everything(tmp_path)
    assert secret.encode() not in stored
    assert mark.encode() in stored


def everything(folder: Path) -> bytes:
    """Every byte of the database's files, and every value of its tables as text."""
    found = [path.read_bytes() for path in folder.iterdir() if path.name.startswith("a.db")]
    with contextlib.closing(sqlite3.connect(folder / "a.db")) as database:
        named = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE '%content=%'"
        for (table,) in database.execute(named).fetchall():
            with contextlib.suppress(sqlite3.OperationalError):  # a table without contents of its own
                found += [repr(row).encode() for row in database.execute(f'SELECT * FROM "{table}"')]
    return b"\n".join(found)


def test_addresses_that_the_users_own_tunnel_writes(upstream: str, tmp_path: Path) -> None:
    given = ["--public-url", "https://abc.example", "--trust-forwarded-for", "--allow", "192.0.2.0/24"]
    with Up(upstream, tmp_path / "a.db", *given) as up:
        assert up.ask(**{"X-Forwarded-For": "203.0.113.1, 192.0.2.1"})[0] == 200
        assert up.ask(**{"X-Forwarded-For": "192.0.2.1, 203.0.113.1"})[0] == 403
        assert up.ask()[0] == 403
        up.stop()


def test_a_server_that_answers_everybody_is_told_of(upstream: str, tmp_path: Path) -> None:
    with Up(upstream, tmp_path / "a.db", "--public-url", "https://abc.example") as up:
        notice = up.wait_for("notice")
        assert "answers GET /scim/v2/Users without credentials (200)" in notice["message"]
        assert "--require-token" in notice["hint"]
        assert up.stop()["exchanges"] == 0  # that question is not recorded


def test_one_that_asks_for_credentials_is_not(tmp_path: Path) -> None:
    asked: list[str] = []
    came = threading.Event()

    def answer(target: str) -> bytes:
        asked.append(target)
        came.set()
        return http(401)

    with (
        listener(answer) as port,
        Up(f"http://127.0.0.1:{port}/scim/v2", tmp_path / "a.db", "--methods", "GET") as up,
    ):
        assert came.wait(30)
        up.ask()
        assert up.stop()["exchanges"] == 1
        assert not any(event["event"] == "notice" for event in up.seen)
    assert asked[0] == "/scim/v2/Users?count=1"


def test_the_banner_shows_the_guard_and_the_secret_once_to_paste(upstream: str, tmp_path: Path) -> None:
    given = command(
        "up", upstream, "--port", "0", "--db", str(tmp_path / "a.db"), "--secret-path", "-", "--rate-limit", "60"
    )
    with subprocess.Popen(
        given, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stderr is not None and process.stdin is not None
        process.stdin.write(f"{SECRET}\n")
        process.stdin.close()
        process.stdin = None
        banner = []
        for line in process.stderr:
            banner.append(line)
            if "Ctrl-C stops" in line:
                break
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    text = "".join(banner)
    assert process.returncode == 0
    assert "Guard     asks for the secret path; GET, HEAD," in text
    assert f"https://YOUR-TUNNEL/{SECRET}/scim/v2" in text
