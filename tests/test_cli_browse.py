from __future__ import annotations

import importlib
import json
import re
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import factories
import pytest
from click.testing import CliRunner, Result
from recording import command, environment, run

from scimproxy.cli import cli
from scimproxy.exchange import Certificate, Content, Failure, Rewrite, Tls, TunnelEvent
from scimproxy.store import Reader, Store

USER = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "id": "1", "userName": "bjensen"}
HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202e"
OKTA = {"User-Agent": "Okta SCIM Client 1.0.0"}


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Two runs: one with a create, a failure and something hostile; one empty."""
    path = tmp_path / "a.db"
    with Store.open(path) as store:
        first = store.start_run(factories.run(name="first"))
        assert first.id is not None
        store.add(
            factories.exchange(
                request=factories.request("POST", "/scim/v2/Users", body=USER, headers=OKTA),
                status_code=201,
                answer=USER,
                rewrites=(Rewrite("header:Location", "http://127.0.0.1/x", "https://abc.example/x"),),
                upstream_request_headers=factories.request(headers={"X-Forwarded-Proto": "https"}).headers,
                note="looked at",
            )
        )
        store.add(
            replace(
                factories.exchange("GET", "/scim/v2/Users/2"),
                response=factories.response(502, b'{"status":"502"}'),
                failure=Failure("refused", "http://127.0.0.1:8000 refuses connections", "connect"),
                origin="proxy",
            )
        )
        store.add(
            factories.exchange(
                request=factories.request(
                    "GET",
                    "/scim/v2/Users?filter=userName%20eq%20%22\x1b[2J%22",
                    headers={"X-Evil": HOSTILE.encode().decode("latin-1")},
                ),
                answer=f'{{"a":"{HOSTILE}"}}'.encode(),
            )
        )
        store.finish_run(first.id, ended_at=factories.T0 + 60, lost=2)
        store.start_run(factories.run(name="second", target=None))
    return path


def invoke(db: Path, *args: str) -> Result:
    return CliRunner().invoke(cli, [args[0], "--db", str(db), *args[1:]])


def lines_of_json(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def harmless(text: str) -> bool:
    return not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text)


# --- runs


def test_runs(db: Path) -> None:
    result = invoke(db, "runs")
    assert result.exit_code == 0
    header, first, second = result.stdout.splitlines()
    assert header.split() == ["RUN", "KIND", "STARTED", "EXCHANGES", "LOST", "NAME", "TARGET"]
    assert first.split()[:2] == ["1", "record"]
    assert first.endswith(" 3     2  first   127.0.0.1:8000/scim/v2")
    assert second.split()[-1] == "second"
    assert max(len(line) for line in result.stdout.splitlines()) <= 80


def test_runs_as_json(db: Path) -> None:
    runs = lines_of_json(invoke(db, "runs", "--json"))
    assert [(it["id"], it["name"], it["exchanges"], it["lost"]) for it in runs] == [
        (1, "first", 3, 2),
        (2, "second", 0, 0),
    ]
    assert runs[0]["started_at"].endswith("Z")
    assert [it["id"] for it in lines_of_json(invoke(db, "runs", "--json", "--limit", "1"))] == [2]


def test_no_runs(tmp_path: Path) -> None:
    Store.open(tmp_path / "a.db").close()
    result = invoke(tmp_path / "a.db", "runs")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "No runs yet" in result.stderr
    assert invoke(tmp_path / "a.db", "log").exit_code == 2


def test_no_database(tmp_path: Path) -> None:
    result = invoke(tmp_path / "a.db", "runs")
    assert result.exit_code == 3
    assert result.stderr.startswith(f"Error: there is no database {tmp_path / 'a.db'}\n  Hint: ")
    assert not (tmp_path / "a.db").exists()


# --- log and search


def test_log(db: Path) -> None:
    result = invoke(db, "log", "1")
    created, failed, hostile = result.stdout.splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d      1  okta          Create User bjensen +201   12 ms", created)
    assert failed.endswith(" 502!   12 ms")
    assert harmless(result.stdout)
    assert "List Users" in hostile
    assert {len(line) for line in result.stdout.splitlines()} == {80}


def test_log_is_of_the_newest_run(db: Path) -> None:
    for given in ([], ["last"], ["2"], ["second"]):
        result = invoke(db, "log", *given)
        assert (result.exit_code, result.stdout) == (0, "")
        assert "Nothing was recorded in run 2 (second)" in result.stderr


@pytest.mark.parametrize(
    ("text", "ids"),
    [("status:4xx", []), ("op:create", [1]), ("has:failure", [2]), ("-has:failure", [1, 3]), ("client:okta", [1])],
)
def test_log_filtered(text: str, ids: list[int], db: Path) -> None:
    result = invoke(db, "log", "first", "--filter", text, "--json")
    assert [it["id"] for it in lines_of_json(result)] == ids


def test_log_shows_the_newest(db: Path) -> None:
    result = invoke(db, "log", "1", "--limit", "2")
    assert [line.split()[1] for line in result.stdout.splitlines()] == ["2", "3"]
    assert "The newest 2 of 3" in result.stderr


@pytest.mark.parametrize("name", ["3", "third", "0", "99999999999999999999"])
def test_log_of_no_run(name: str, db: Path) -> None:
    result = invoke(db, "log", name)
    assert result.exit_code == 2
    assert f"no run '{name}'" in result.stderr


def test_a_filter_that_does_not_parse_is_pointed_at(db: Path) -> None:
    result = invoke(db, "log", "1", "--filter", "path:/Users stauts:4xx")
    assert result.exit_code == 2
    assert "  path:/Users stauts:4xx\n              ^" in result.stderr


def test_log_follows(db: Path) -> None:
    with (
        Store.open(db) as store,
        subprocess.Popen(
            command("log", "2", "--follow", "--db", str(db), "--json", "--filter", "op:create"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        ) as process,
    ):
        store.add(factories.exchange("POST", "/scim/v2/Users", body=USER, run_id=2))
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        store.add(factories.exchange("GET", "/scim/v2/Users", run_id=2))
        store.add(factories.exchange("POST", "/scim/v2/Users", body=USER, run_id=1))
        store.add(factories.exchange("POST", "/scim/v2/Users", body=USER, run_id=2))
        second = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        rest, said = process.communicate(timeout=30)
    assert (first["id"], second["id"]) == (4, 7)
    assert (process.returncode, rest, said) == (0, "", "")


def test_search(db: Path) -> None:
    assert [it["id"] for it in lines_of_json(invoke(db, "search", "bjensen", "--json"))] == [1]
    assert [it["id"] for it in lines_of_json(invoke(db, "search", "Users", "method:GET", "--json"))] == [2, 3]
    assert "Create User bjensen" in invoke(db, "search", "bjensen").stdout
    result = invoke(db, "search", "nobody")
    limit = "Of each body the first 65,536 characters are searched.\n"
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", f"Nothing found.\n{limit}")
    assert limit in CliRunner().invoke(cli, ["help", "filters"]).stdout
    assert limit[:40] in " ".join(invoke(db, "search", "--help").stdout.split())
    mistyped = invoke(db, "search", "type:Uesr")
    assert mistyped.stderr == "Nothing found.\n  Hint: type:uesr is unusual; did you mean type:User ?\n"
    assert "usual are CONNECT" in invoke(db, "log", "1", "--filter", "method:FOO").stderr
    assert invoke(db, "search", "status:9xx").exit_code == 2
    assert lines_of_json(invoke(db, "search", "bjensen", "--json", "--run", "2")) == []


# --- show


def test_show(db: Path) -> None:
    result = invoke(db, "show", "1")
    assert result.exit_code == 0
    text = result.stdout
    assert text.startswith("Exchange 1: Create User bjensen\nNote: looked at\n")
    titles = [line for line in text.splitlines() if line and not line.startswith(" ")]
    assert titles[2:] == ["Request", "Response", "Connection", "Timings", "SCIM", "Times"]
    assert "  POST /scim/v2/Users HTTP/1.1\n  Host: scim.example\n  User-Agent: Okta SCIM Client 1.0.0\n" in text
    assert '    "userName": "bjensen"\n' in text
    assert "  + X-Forwarded-Proto: https\n" in text
    assert "  Rewritten header:Location: http://127.0.0.1/x -> https://abc.example/x\n" in text
    assert re.search(r"wait +10 ms  \| +#+ *\|", text)
    assert max(map(len, text.splitlines())) <= 80


def test_show_a_failure(db: Path) -> None:
    text = invoke(db, "show", "2").stdout
    assert "Failed (refused): http://127.0.0.1:8000 refuses connections\n" in text
    assert "(made by scimproxy)" in text


def test_show_harms_no_terminal(db: Path) -> None:
    text = invoke(db, "show", "3").stdout
    assert harmless(text)
    assert "\\x1b]0;owned\\x07" in text
    assert "\\u202e" in text


def test_show_no_exchange(db: Path) -> None:
    result = invoke(db, "show", "4")
    assert result.exit_code == 2
    assert "there is no exchange 4" in result.stderr


def test_show_cuts_what_is_long(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store:
        store.start_run(factories.run())
        store.add(factories.exchange(answer={"values": list(range(1000))}))
        store.add(factories.exchange(answer=b"x" * 30_000))
    for number in ("1", "2"):
        cut, whole = invoke(tmp_path / "a.db", "show", number), invoke(tmp_path / "a.db", "show", number, "--whole")
        assert "cut; --whole shows all of it" in cut.stdout
        assert "cut;" not in whole.stdout
        assert len(cut.stdout) < len(whole.stdout)


def test_show_what_else_there_may_be(tmp_path: Path) -> None:
    chain = (Certificate("ab" * 32, "CN=scim.example", "CN=An authority", ("scim.example",), 0.0, 1e9),)
    tls = Tls("TLSv1.3", "TLS_AES_256_GCM_SHA384", "http/1.1", "scim.example", chain)
    with Store.open(tmp_path / "a.db") as store:
        store.start_run(factories.run())
        store.pending(
            replace(
                factories.exchange(),
                state="pending",
                response=None,
                ended_at=None,
                timings=factories.exchange().timings,
            )
        )
        store.add(
            replace(
                factories.exchange(),
                request=factories.request(
                    "PUT", "/x", body=Content(b"abc", 99, "00"), headers={"Content-Type": "text/plain"}
                ),
                response=factories.response(
                    200,
                    b"\x00\x01\x02",
                    headers={"Content-Type": "image/png", "X-Name": "Zo\xc3\xab", "X-Old": "Zo\xeb"},
                ),
                upstream_connection=factories.connection("upstream", tls=tls, closed_by="upstream", peer_host="::1"),
                upstream_index=3,
                client="curl",
            )
        )
        store.flush()
        with Reader.open(tmp_path / "a.db") as reader:
            assert reader.run(1) is not None
        pending, whole = invoke(tmp_path / "a.db", "show", "1").stdout, invoke(tmp_path / "a.db", "show", "2").stdout
    assert "In flight" in pending
    assert "  (the first 3 B of 99 B were stored)" in whole
    assert "  (3 B of binary data; --raw writes it)" in whole
    assert "  X-Name: Zoë\n  X-Old: Zoë\n" in whole
    assert "[::1]:50000" in whole
    assert "reused, exchange 3 on it" in " ".join(whole.split())
    assert "TLSv1.3, TLS_AES_256_GCM_SHA384, ALPN http/1.1, SNI" in whole
    assert "  Certificate CN=scim.example\n    issued by CN=An authority\n    for scim.example\n" in whole
    assert "  Operation  not SCIM\n" in whole


def test_search_says_where_it_was_cut(db: Path) -> None:
    cut = invoke(db, "search", "Users", "--limit", "2")
    assert len(cut.stdout.splitlines()) == 2
    assert cut.stderr == "The newest 2 of more; --limit shows more.\n"
    assert [it["id"] for it in lines_of_json(invoke(db, "search", "Users", "--limit", "2", "--json"))] == [2, 3]
    assert invoke(db, "search", "Users", "--limit", "3").stderr == ""


@pytest.mark.parametrize("args", [("show", "abc"), ("doctor", "--port", "80x"), ("runs", "--limit", "1.5")])
def test_what_is_not_a_number(db: Path, args: tuple[str, ...]) -> None:
    result = invoke(db, *args)
    assert result.exit_code == 2
    assert f"{args[-1]!r} is not a number." in result.stderr


def test_the_name_gives_way_to_what_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    path = tmp_path / "a.db"
    change = {"Operations": [{"op": "replace", "path": "active", "value": False}]}
    with Store.open(path) as store:
        store.start_run(factories.run())
        for name in ("ada.lovelace@example.com", "bob"):
            store.add(factories.exchange("PATCH", "/scim/v2/Users/1", body=change, answer={**USER, "userName": name}))
    first, second = invoke(path, "log").stdout.splitlines()
    assert " Patch ada.…: replace active = false " in first
    assert " Patch bob: replace active = false " in second
    monkeypatch.setenv("COLUMNS", "90")
    assert " Patch User ada.lovel…: replace active = false " in invoke(path, "log").stdout
    monkeypatch.setenv("COLUMNS", "60")
    assert " Patch ada…: re… " in invoke(path, "log").stdout
    monkeypatch.setenv("COLUMNS", "200")
    assert " Patch User ada.lovelace@example.com: replace active = false " in invoke(path, "log").stdout


# --- prune


def test_looking_at_what_would_go_opens_no_writer(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, **_: object) -> None:
        raise AssertionError(path)

    module = importlib.import_module("scimproxy.store.prune")  # the package has a function of that name
    monkeypatch.setattr(module, "open_writer", refused)
    monkeypatch.setattr(module, "connect_upkeep", refused)
    assert "Would delete 1 run" in invoke(db, "prune", "--keep-runs", "0", "--dry-run").stderr
    assert isinstance(invoke(db, "prune", "--keep-runs", "0", "--yes").exception, AssertionError)


def test_prune_looks_first(db: Path) -> None:
    result = invoke(db, "prune", "--keep-runs", "0", "--dry-run")
    assert result.exit_code == 0
    assert "Would delete 1 run (1) with 3 exchanges" in result.stderr
    asked = invoke(db, "prune", "--keep-runs", "0")
    assert asked.exit_code == 2
    assert "nobody is there to ask" in asked.stderr
    assert len(lines_of_json(invoke(db, "runs", "--json"))) == 2


def test_prune(db: Path) -> None:
    with Store.open(db) as store:
        store.finish_run(2, ended_at=factories.T0 + 120)
    result = lines_of_json(invoke(db, "prune", "--keep-runs", "1", "--yes", "--json"))
    assert (result[0]["run_ids"], result[0]["exchanges"], result[0]["dry_run"]) == ([1], 3, False)
    assert [it["id"] for it in lines_of_json(invoke(db, "runs", "--json"))] == [2]
    assert "Nothing to delete" in invoke(db, "prune", "--keep-runs", "1").stderr


def test_prune_says_what_it_did(db: Path) -> None:
    result = invoke(db, "prune", "--keep-days", "1", "--max-size", "1", "--yes")
    assert result.exit_code == 0
    assert "Deleted" in result.stderr


# --- doctor


def test_doctor(db: Path) -> None:
    result = invoke(db, "doctor", "--port", "1", "--listen-host", "127.0.0.1")
    assert re.search(r"^ok    database: .* is writable and sound$", result.stdout, re.MULTILINE)
    checks = [json.loads(line) for line in invoke(db, "doctor", "--json").stdout.splitlines()]
    assert {"name": "database", "level": "ok", "message": f"{db} is writable and sound", "hint": None} in checks


def test_doctor_finds_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_text("nonsense, but longer than sixteen bytes")
    (tmp_path / "a.db").chmod(0o600)
    done = run("doctor", "--db", str(tmp_path / "a.db"))
    assert done.returncode == 1
    assert "fail  database: " in done.stdout
    assert "      -> " in done.stdout
    assert "1 problem" in done.stderr or "2 problems" in done.stderr


def test_what_became_of_a_tunnel_stands_between_the_exchanges(tmp_path: Path) -> None:
    path, t0 = tmp_path / "t.db", factories.T0
    with Store.open(path) as store:
        store.start_run(factories.run(public_url="https://abc.example"))
        for at in (t0 + 1, t0 + 3):
            store.add(replace(factories.exchange(), started_at=at))
        for at, state in ((t0, "starting"), (t0 + 2, "reconnecting"), (t0 + 4, "stopped")):
            store.tunnel_event(TunnelEvent(at=at, state=state, run_id=1))  # type: ignore[arg-type]  # from a list

    def states(*args: str) -> list[str]:
        done = invoke(path, "log", *args)
        assert len(done.stdout.splitlines()) == (1 if "--limit" in args else 2)
        return re.findall(r"tunnel (\w+)", done.stderr)

    assert states() == ["starting", "reconnecting", "stopped"]
    words = re.findall(r"tunnel \w+|Users", invoke(path, "log").output)
    assert words == ["tunnel starting", "Users", "tunnel reconnecting", "Users", "tunnel stopped"]
    assert states("--limit", "1") == ["stopped"]  # what was before the exchanges that are left out is left out too
    assert states("--json") == states("--filter", "method:get") == []
    wide = CliRunner().invoke(cli, ["runs", "--db", str(path)], env={"COLUMNS": "140"}).stdout
    assert "PUBLIC" in wide
    assert "https://abc.example" in wide
    assert "PUBLIC" not in CliRunner().invoke(cli, ["runs", "--db", str(path)], env={"COLUMNS": "80"}).stdout


def test_following_tells_of_the_tunnel_too(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with Store.open(path) as store:
        store.start_run(factories.run())
        store.tunnel_event(TunnelEvent(at=factories.T0, state="starting", run_id=1))
        store.add(factories.exchange())
        with subprocess.Popen(
            command("log", "1", "--follow", "--db", str(path)),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment(),
        ) as following:  # fmt: skip
            assert following.stderr is not None
            assert "tunnel starting" in following.stderr.readline()
            store.tunnel_event(TunnelEvent(at=factories.T0 + 1, state="up", url="https://abc.example", run_id=1))
            assert "tunnel up: https://abc.example" in following.stderr.readline()
            following.send_signal(signal.SIGINT)
            following.wait(30)


def test_hosts_are_told_where_a_run_has_many(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with Store.open(path) as store:
        for target in ("http://127.0.0.1:8000/scim/v2", None):
            run_id = store.start_run(factories.run(target=target)).id
            store.add(replace(factories.exchange(run_id=run_id), host="api.example.com"))
    assert "api.example.com" not in invoke(path, "log", "1").stdout
    assert "api.example.com  List" in invoke(path, "log", "2").stdout


def test_a_run_that_was_seen_in_a_recording_says_where_its_exchanges_are(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store:
        recording = store.start_run(factories.run())
        store.start_run(factories.run(kind="suite", name="Two", source_run_id=recording.id))
        store.start_run(factories.run(kind="replay", source_run_id=recording.id))
    lines = CliRunner().invoke(cli, ["runs", "--db", str(tmp_path / "a.db")]).stdout.splitlines()
    assert ["in run 1" in line for line in lines] == [False, False, True, False]
