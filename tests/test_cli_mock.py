"""`scimproxy mock` in processes of its own: the golden path, misses, upstreams, latency, faults, wrong use."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import factories
import pytest
from click.testing import CliRunner, Result
from recording import Mocking, command, environment

from scimproxy.cli import cli
from scimproxy.cli.terminal import width_of
from scimproxy.demo import Demo, serve
from scimproxy.store import Reader, Store

TOKEN = "token-of-the-test"


@contextmanager
def demo() -> Iterator[Demo]:
    """Run the embedded server in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        server = asyncio.run_coroutine_threadsafe(serve(token=TOKEN), loop).result(30)
        try:
            yield server
        finally:
            asyncio.run_coroutine_threadsafe(server.close(), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


def suite(db: Path, url: str, name: str = "lifecycle") -> str:
    """Run a bundled suite; the last lines of what it said."""
    words = ["run", name, "--target", url, "--auth", "-", "--db", str(db)]
    done = CliRunner().invoke(cli, words, input=f"Bearer {TOKEN}\n")
    assert done.exit_code == 0, done.output
    return done.stdout


def recorded(db: Path, *exchanges: Any, **fields: Any) -> None:
    with Store.open(db) as store:
        store.start_run(factories.run(**fields))
        for one in exchanges:
            store.add(one)


def invoke(db: Path, *args: str) -> Result:
    return CliRunner().invoke(cli, ["mock", "--db", str(db), *args], env={"COLUMNS": "80"})


def told(body: bytes) -> Any:
    return json.loads(body)


def test_the_suite_passes_on_the_mock_of_its_own_run(tmp_path: Path) -> None:
    """Recorded against a server that is gone; the same suite with other names; everything is a run, and linked."""
    db = tmp_path / "a.db"
    with demo() as server:
        assert "25 of 25 assertions hold" in suite(db, server.url)
    with Mocking("last", db) as mock:
        assert mock.url.endswith("/scim/v2")
        assert "25 of 25 assertions hold" in suite(db, mock.url)
        status, body = mock.ask(path="/Users/nobody?count=1")
        assert (status, told(body)["schemas"]) == (404, ["urn:ietf:params:scim:api:messages:2.0:Error"])
        assert told(body)["nearMisses"][0]["failed"]
        stopped = mock.stop()
    assert (mock.code, stopped["failures"]) == (0, 0)
    with Reader.open(db) as reader:
        made = reader.run(2)
        assert made is not None
        assert (made.kind, made.source_run_id, made.name, made.target) == ("mock", 1, "mock of User lifecycle", None)
        exchanges = list(reader.all_whole(2))
    answered = [one for one in exchanges if one.tags == ("mock",)]
    assert all(one.origin == "mock" and one.parent_id and "exchange=" in (one.note or "") for one in answered)
    missed = [one for one in exchanges if "miss" in one.tags]
    assert [one.request.target for one in missed][-1] == "/scim/v2/Users/nobody?count=1"
    assert "Close: exchange" in (missed[-1].note or "")
    assert not any(TOKEN.encode() in file.read_bytes() for file in tmp_path.iterdir())


def test_a_mock_tells_a_person(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    recorded(db, factories.exchange("GET", "/scim/v2/Users/1", answer={"id": "1"}), factories.exchange(response=None))
    with socket.create_server(("127.0.0.1", 0)) as taken:  # so that it ends by itself
        result = invoke(db, "1", "--stateful", "--explain", "--port", str(taken.getsockname()[1]))
    assert result.exit_code == 3
    assert "Inferred of the recorded server:" in result.stderr
    assert "  - ids are numbers, like 1 (exchange 1)" in result.stderr.splitlines()
    assert max(map(width_of, result.stderr.partition("Error:")[0].splitlines())) <= 80


def test_a_miss_is_recorded_once_and_answered_from_then_on(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    recorded(db, factories.exchange("GET", "/scim/v2/Users/1", answer={"id": "1"}))
    with demo() as server:
        with Mocking("1", db, "--upstream", server.url, "--on-miss", "record") as mock:
            auth = {"Authorization": f"Bearer {TOKEN}"}
            first = mock.ask(path="/Users?count=1", **auth)
            again = mock.ask(path="/Users?count=1", **auth)
            assert first[0] == again[0] == 200
            assert told(first[1])["totalResults"] == told(again[1])["totalResults"] == 1
            mock.stop()
        with Mocking("1", db, "--upstream", server.url, "--on-miss", "forward") as mock:
            assert [mock.ask(path="/Users?count=1", **auth)[0] for _ in range(2)] == [200, 200]
            mock.stop()
    with Reader.open(db) as reader:
        runs = [list(reader.all_whole(number)) for number in (2, 3)]
    assert [[one.origin for one in exchanges] for exchanges in runs] == [
        ["upstream", "mock"],
        ["upstream", "upstream"],
    ]
    assert [(one.note or "").partition("; ")[0] for one in (runs[0][0], runs[1][0])] == [
        "mock of run 1: asked of the upstream, and remembered",
        "mock of run 1: passed on to the upstream",
    ]
    assert "exchange=learned" in (runs[0][1].note or "")


def test_latency_faults_and_har(tmp_path: Path) -> None:
    """From a HAR file; the third request is told 503; each answer is held for a while."""
    db, har = tmp_path / "a.db", tmp_path / "some.har"
    recorded(db, factories.exchange("GET", "/scim/v2/Users/1", answer={"id": "1"}))
    assert CliRunner().invoke(cli, ["export", "1", "--db", str(db), "-o", str(har)]).exit_code == 0
    with Mocking(str(har), db, "--latency", "recorded", "--fault", "nth:3 status:503") as mock:
        assert [mock.ask(path="/Users/1")[0] for _ in range(3)] == [200, 200, 503]
        mock.stop()
    with Reader.open(db) as reader:
        runs = [(one.kind, one.name) for one in reader.runs()]
        exchanges = list(reader.all_whole(3))
    assert runs == [("record", "test"), ("import", "some"), ("mock", "mock of some")]
    assert exchanges[0].timings.total is not None and exchanges[0].timings.total >= 12.0, "it took 12 ms then"


def test_nothing_is_recorded_where_nothing_shall(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    recorded(db, factories.exchange("GET", "/scim/v2/Users/1", answer={"id": "1"}))
    given = command("mock", "1", "--port", "0", "--db", str(db), "--no-record")
    with subprocess.Popen(given, stderr=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        url = urlsplit(next(line.split()[1] for line in lines if "Listening" in line))
        with closing(http.client.HTTPConnection(str(url.hostname), url.port, timeout=30)) as client:
            for path, status in (("/Users/1", 200), ("/Users/1", 200), ("/Groups?count=1", 404)):
                client.request("GET", url.path + path)
                answer = client.getresponse()
                assert (answer.status, bool(told(answer.read()))) == (status, True)
        process.terminate()
        said = "".join(lines)
    assert process.returncode == 0
    assert "nothing is recorded (--no-record)" in said
    assert said.endswith("Answered 2 requests, 1 miss. Nothing was recorded.\n")
    with Reader.open(db) as reader:
        assert [run.kind for run in reader.runs()] == ["record"]


def test_stateful(tmp_path: Path) -> None:
    """What was never recorded is answered as the server would; the credentials are those that worked."""
    db = tmp_path / "a.db"
    with demo() as server:
        suite(db, server.url)
    with Mocking("1", db, "--stateful") as mock:
        assert "153 of 153 assertions hold" in suite(db, mock.url, "scim2-spec")
        assert mock.ask(Authorization="Bearer other")[0] == 401
        mock.stop()
    with Mocking("1", db, "--stateful", "--any-token") as mock:
        assert mock.ask(Authorization="Bearer other")[0] == 200
        mock.stop()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["9"], "there is no run '9'"),
        (["1", "--match", "method,path,colour"], "there is no matcher 'colour'"),
        (["1", "--match", "query"], "--match must name method and path"),
        (["1", "--strict", "--loose"], "--strict and --loose exclude each other"),
        (["1", "--on-miss", "record"], "--on-miss record needs a server to ask"),
        (["1", "--upstream", "http://127.0.0.1:1"], "--upstream is asked only where you say so"),
        (["1", "--no-record", "--json"], "--json is not for --no-record"),
        (["1", "--any-token"], "--any-token is for --stateful"),
        (["1", "--stateful", "--match", "method,path"], "--match is not for --stateful"),
        (["1", "--listen-host", "0.0.0.0"], "is not a loopback address"),
        (["1", "--latency", "soon"], "'soon' is no latency"),
        (["1", "--latency", "900s"], "'900s' is no latency"),
        (["2"], "holds nothing that can be answered again (1 with no answer of the server)"),
        (["gone.har"], "gone.har cannot be read"),
        (["1", "--upstream", "http://127.0.0.1:8080", "--on-miss", "record"], "requests would go in a circle"),
    ],
)
def test_wrong_use(tmp_path: Path, args: list[str], said: str) -> None:
    db = tmp_path / "a.db"
    recorded(db, factories.exchange())
    recorded(db, factories.exchange(response=None))
    result = invoke(db, *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in " ".join(result.stderr.split())


def test_a_file_that_is_no_har(tmp_path: Path) -> None:
    (tmp_path / "b.har").write_text("{}")
    result = invoke(tmp_path / "a.db", str(tmp_path / "b.har"))
    assert result.exit_code == 3 and "b.har" in result.stderr and "Traceback" not in result.stderr
