from __future__ import annotations

import json
from pathlib import Path

import factories
import pytest
from click.testing import CliRunner, Result

from scimproxy.cli import cli
from scimproxy.exchange import Exchange
from scimproxy.store import Reader, Store

USER = {"userName": "bjensen", "password": "t1meMa$heen"}


@pytest.fixture
def db(tmp_path: Path) -> Path:
    with Store.open(tmp_path / "a.db") as store:
        store.start_run(factories.run(name="first"))
        store.add(factories.exchange("POST", "/scim/v2/Users", status_code=201, body={"userName": "bjensen"}))
        store.add(factories.exchange("GET", "/scim/v2/Users/1", answer=b"\xff\x00 bytes"))
    return tmp_path / "a.db"


def invoke(db: Path, *args: str) -> Result:
    return CliRunner().invoke(cli, [args[0], "--db", str(db), *args[1:]])


def recorded(db: Path, run_id: int) -> list[Exchange]:
    with Reader.open(db) as reader:
        return list(reader.all_whole(run_id))


def test_har_out_and_in(db: Path, tmp_path: Path) -> None:
    out = tmp_path / "first.har"
    result = invoke(db, "export", "first", "-o", str(out))
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", f"Wrote 2 exchanges of run 1 to {out}.\n")
    assert out.stat().st_mode & 0o777 == 0o600
    result = invoke(db, "import", str(out), "--name", "again")
    assert (result.exit_code, result.stderr) == (0, "Imported 2 exchanges as run 2 (again).\n")
    before, after = recorded(db, 1), recorded(db, 2)
    assert [it.request for it in before] == [it.request for it in after]
    assert [it.response for it in before] == [it.response for it in after]


@pytest.mark.parametrize(
    ("form", "mark"), [("har", b'"entries"'), ("curl", b"curl "), ("raw", b"POST /scim/v2/Users")]
)
def test_formats_on_stdout(form: str, mark: bytes, db: Path) -> None:
    result = invoke(db, "export", "1", "--format", form)
    assert result.exit_code == 0
    assert mark in result.stdout_bytes
    assert result.stderr == ""


def test_export_filtered(db: Path) -> None:
    result = invoke(db, "export", "1", "--filter", "op:create")
    assert [it["request"]["method"] for it in json.loads(result.stdout)["log"]["entries"]] == ["POST"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["1", "--format", "crul"], "there is no format 'crul'; did you mean 'curl'?"),
        (["9"], "there is no run '9'"),
        (["1", "-o", "/nonexistent/x.har"], "/nonexistent/x.har cannot be written: No such file or directory"),
        (["1", "--filter", "xyz:1 status:abc"], "Error: "),
    ],
)
def test_export_of_what_is_not_there(args: list[str], said: str, db: Path) -> None:
    result = invoke(db, "export", *args)
    assert result.exit_code == 2
    assert said in result.stderr


def test_what_cannot_be_exported_leaves_no_file(db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scimproxy.exports.variables.MOST", 1)
    result = invoke(db, "export", "first", "--format", "hurl", "-o", str(tmp_path / "run.hurl"))
    assert result.exit_code == 2
    assert [one.name for one in tmp_path.iterdir() if "hurl" in one.name] == []


def test_show_raw(db: Path) -> None:
    result = invoke(db, "show", "2", "--raw")
    request, _, response = result.stdout_bytes.partition(b"\r\n\r\n")
    assert request.startswith(b"GET /scim/v2/Users/1 HTTP/1.1\r\nHost: scim.example")
    assert response.endswith(b"\r\n\r\n\xff\x00 bytes")
    assert invoke(db, "show", "2", "--raw", "--json").exit_code == 2


def test_show_json(db: Path) -> None:
    entry = json.loads(invoke(db, "show", "1", "--json").stdout)
    assert entry["request"]["method"] == "POST"
    assert entry["response"]["status"] == 201


def foreign(tmp_path: Path) -> Path:
    """A HAR of a browser, with secrets in it."""
    entry = {
        "startedDateTime": "2026-01-02T03:04:05.678Z",
        "time": 12.5,
        "request": {
            "method": "POST",
            "url": "https://scim.example/scim/v2/Users",
            "httpVersion": "HTTP/1.1",
            "headers": [{"name": "Authorization", "value": "Bearer 5f1c-very-secret"}],
            "queryString": [],
            "cookies": [],
            "headersSize": -1,
            "bodySize": -1,
            "postData": {"mimeType": "application/scim+json", "text": json.dumps(USER)},
        },
        "response": {
            "status": 201,
            "statusText": "Created",
            "httpVersion": "HTTP/1.1",
            "headers": [],
            "cookies": [],
            "content": {"size": 2, "mimeType": "application/scim+json", "text": "{}"},
            "redirectURL": "",
            "headersSize": -1,
            "bodySize": 2,
        },
        "cache": {},
        "timings": {"send": 1, "wait": 10, "receive": 1.5},
    }
    document = {"log": {"version": "1.2", "creator": {"name": "a browser", "version": "1"}, "entries": [entry]}}
    path = tmp_path / "browser.har"
    path.write_text(json.dumps(document))
    return path


def test_imports_are_redacted(tmp_path: Path) -> None:
    db = tmp_path / "b.db"
    result = invoke(db, "import", str(foreign(tmp_path)), "--json")
    assert result.exit_code == 0
    run = json.loads(result.stdout)
    assert (run["id"], run["kind"], run["name"], run["exchanges"]) == (1, "import", "browser", 1)
    for file in tmp_path.glob("b.db*"):
        assert b"very-secret" not in file.read_bytes()
        assert b"t1meMa$heen" not in file.read_bytes()
    assert run["ended_at"] is not None


def test_imports_keep_secrets_where_that_is_wanted(tmp_path: Path) -> None:
    db = tmp_path / "b.db"
    assert invoke(db, "import", str(foreign(tmp_path)), "--keep-secrets").exit_code == 0
    (found,) = recorded(db, 1)
    assert found.request.headers.get("Authorization") == "Bearer 5f1c-very-secret"


def test_an_import_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import Future

    from scimproxy.errors import StoreFull

    def full(*_: object) -> Future[int]:
        future: Future[int] = Future()
        future.set_exception(StoreFull("no space is left", hint="make some"))
        return future

    monkeypatch.setattr(Store, "submit", full)
    result = invoke(tmp_path / "b.db", "import", str(foreign(tmp_path)))
    assert (result.exit_code, result.stderr) == (3, "Error: no space is left\n  Hint: make some\n")
    with Reader.open(tmp_path / "b.db") as reader:
        assert reader.runs() == []


def test_import_of_what_is_not_there(tmp_path: Path) -> None:
    result = invoke(tmp_path / "b.db", "import", str(tmp_path / "no.har"))
    assert result.exit_code == 2
    assert "no.har cannot be read: No such file or directory" in result.stderr
    assert not (tmp_path / "b.db").exists()


def test_a_dash_is_stdin(db: Path, tmp_path: Path) -> None:
    har = invoke(db, "export", "first").stdout_bytes
    other = tmp_path / "b.db"
    done = CliRunner().invoke(cli, ["import", "-", "--db", str(other)], input=har)
    assert (done.exit_code, "as run 1 (" in done.stderr) == (0, True)
    bigger = CliRunner().invoke(cli, ["import", "-", "--db", str(other), "--max-size", "1k"], input=har)
    assert (bigger.exit_code, "stdin is too big" in bigger.stderr) == (3, True)


def test_a_dash_is_stdout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    har = Path(__file__).resolve().parent.parent / "recordings" / "okta-lifecycle-scimmy.har"
    monkeypatch.chdir(tmp_path)
    db = str(tmp_path / "a.db")
    assert CliRunner().invoke(cli, ["import", str(har), "--db", db]).exit_code == 0
    done = CliRunner().invoke(cli, ["export", "last", "--format", "har", "-o", "-", "--db", db])
    assert done.exit_code == 0
    assert done.stdout.startswith('{"log"')
    assert not (tmp_path / "-").exists()


@pytest.mark.parametrize(
    ("form", "mark"),
    [
        ("hurl", b"HTTP 201"),
        ("pytest", b"def test_0001_create_user"),
        ("locust", b"class Client(FastHttpUser)"),
        ("postman", b'"schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"'),
        ("runscope", b'"step_type": "request"'),
        ("mitmproxy", b"4:path;"),
    ],
)
def test_formats_that_run_again(form: str, mark: bytes, db: Path) -> None:
    result = invoke(db, "export", "1", "--format", form)
    assert (result.exit_code, result.stderr) == (0, "") and mark in result.stdout_bytes


def test_flows_out_and_in(db: Path, tmp_path: Path) -> None:
    out = tmp_path / "saved.flows"
    assert invoke(db, "export", "first", "--format", "mitmproxy", "-o", str(out)).exit_code == 0
    result = invoke(db, "import", str(out))
    assert (result.exit_code, result.stderr) == (0, "Imported 2 exchanges as run 2 (saved).\n")
    before, after = recorded(db, 1), recorded(db, 2)
    assert [(it.request, it.response) for it in before] == [(it.request, it.response) for it in after]


def test_flows_that_are_not_of_http_are_told(db: Path, tmp_path: Path) -> None:
    from mitmproxy.test import tflow
    from test_imports_flows import written

    (tmp_path / "a.flows").write_bytes(written(tflow.tflow(), tflow.ttcpflow()))
    result = invoke(db, "import", str(tmp_path / "a.flows"), "--format", "mitmproxy")
    assert result.exit_code == 0 and "Note: 1 flow of the file, not of HTTP, left out." in result.stderr


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ([], 2, "one of FILE and --ngrok is needed"),
        (["FILE", "--ngrok", "http://127.0.0.1:1"], 2, "one of FILE and --ngrok is needed"),
        (["--ngrok", "http://ngrok.example"], 2, "not an address of this machine"),
        (["--ngrok", "http://127.0.0.1:1"], 3, "ngrok's agent does not answer at http://127.0.0.1:1"),
        (["--ngrok", "http://127.0.0.1:1", "--format", "har"], 2, "leave --format out"),
        (["FILE", "--format", "zip"], 2, "there is no import format 'zip'"),
        (["FILE"], 3, "neither JSON nor a flow file"),
    ],
)
def test_imports_that_cannot_be(args: list[str], code: int, said: str, db: Path, tmp_path: Path) -> None:
    (tmp_path / "FILE").write_text("hello", encoding="utf-8")
    result = invoke(db, "import", *(str(tmp_path / "FILE") if it == "FILE" else it for it in args))
    assert result.exit_code == code and said in result.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["first", "--only", "op:delete"], "holds no request that can be sent again"),
        (["first", "--report", "/nonexistent/x.html"], "/nonexistent is no folder"),
        (["first", "--to", "nonsense://x"], "nonsense"),
        (["first", "--auth", "-"], "stdin"),
        (["first", "--auth", "Bearer tok"], "--auth takes no token"),
        (["first", "--fresh-names"], "--fresh-names does not go with --users"),
        (["nobody"], "there is no run 'nobody'"),
    ],
)
def test_loads_that_cannot_be(args: list[str], said: str, db: Path) -> None:
    result = invoke(db, "replay", "--users", "2", *args)
    assert result.exit_code == 2 and said in result.stderr


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("http://127.0.0.1:8000/scim/v2", "http://127.0.0.1:8000/scim/v2"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/scim/v2"),
        (None, None),
    ],
)
def test_a_load_goes_where_the_run_went(
    target: str | None, host: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts: list[str] = []
    monkeypatch.setattr("scimproxy.load.run_locust", lambda _plan, load: hosts.append(load.host) or 0)
    with Store.open(tmp_path / "b.db") as store:
        store.start_run(factories.run(name="told", target=target))
        store.add(factories.exchange(host="evil.example"))
    result = invoke(tmp_path / "b.db", "replay", "--users", "2", "told")
    assert hosts == ([] if host is None else [host])
    assert result.exit_code == (2 if host is None else 0)
    assert ("names no server that it went to" in result.stderr) == (host is None)


def test_options_of_a_load_need_users(db: Path) -> None:
    result = invoke(db, "replay", "first", "--duration", "5s")
    assert result.exit_code == 2 and "--duration says how virtual users send a run" in result.stderr
