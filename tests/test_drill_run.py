"""A drill from end to end: real servers, good and bad, our suite or a client of somebody's that retries in its own way."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner
from recording import command, environment, run

from scimproxy import drill_run
from scimproxy.app import Event, Ready, RecordOptions, Stop
from scimproxy.cli import cli
from scimproxy.demo import Demo, serve
from scimproxy.drill_run import Drilled, DrillOptions, drill
from scimproxy.errors import EngineError
from scimproxy.faults import parse_fault
from scimproxy.proxy.engine import EngineOptions, Target
from scimproxy.store import Reader

USER = {
    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
    "userName": "ada@example.com",
    "name": {"givenName": "Ada", "familyName": "L"},
    "emails": [{"value": "ada@example.com", "primary": True}],
    "active": True,
}
PATCH = {
    "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
    "Operations": [{"op": "replace", "value": {"displayName": "Ada L."}}],
}


class Client:
    """A small SCIM client that tries again; `waits` says whether it does as Retry-After tells it."""

    def __init__(self, url: str, token: str, *, waits: bool = True, tries: int = 5) -> None:
        self.url = url
        self.token = token
        self.waits = waits
        self.tries = tries

    async def send(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/scim+json"}
        async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(force_close=True)) as http:
            for _ in range(self.tries):
                try:
                    async with http.request(method, self.url + path, data=json.dumps(body)) as answer:
                        if answer.status not in {429, 503}:
                            return answer.status, json.loads(await answer.read() or b"null")
                        if self.waits:
                            await asyncio.sleep(int(answer.headers["Retry-After"]))
                except aiohttp.ClientError:
                    continue
            return 0, None

    async def provision(self) -> None:
        """Create a user, or find the one that is there; then change it."""
        status, user = await self.send("POST", "/Users", USER)
        if status == 409:
            _, found = await self.send("GET", '/Users?filter=userName eq "ada@example.com"')
            user = found["Resources"][0]
        if user is not None:
            await self.send("PATCH", f"/Users/{user['id']}", PATCH)


async def live(server: Demo, folder: Path, *faults: str, **client: Any) -> Drilled:
    """Drill a client against a server, and end the drill when the client is done."""
    listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    loop, stop = asyncio.get_running_loop(), Stop()

    def tell(event: Event) -> None:
        if isinstance(event, Ready):
            loop.call_soon_threadsafe(listening.set_result, event.url)

    options = DrillOptions(
        record=RecordOptions(
            engine=EngineOptions(target=Target.parse(server.url)), db=folder / "a.db", name="drill test"
        ),
        faults=tuple(parse_fault(text) for text in faults),
        auth=f"Bearer {server.token}",
    )
    going = asyncio.create_task(drill(options, tell, stop))
    await Client(await listening, server.token, **client).provision()
    stop("the client is done")
    return await going


def verdicts(drilled: Drilled) -> dict[str, str]:
    return {check.name: check.verdict for check in drilled.report.checks}


async def test_a_patient_client_and_a_good_server(tmp_path: Path) -> None:
    async with await serve() as server:
        drilled = await live(
            server, tmp_path, "op:create nth:1 status:503 retry-after:1", "op:create nth:2 reset:after",
            "op:patch nth:1 reset:before",
        )  # fmt: skip
    assert verdicts(drilled) == {
        "created once": "pass",
        "retried": "pass",
        "honoured Retry-After": "pass",
        "state consistent": "pass",
        "read past empty pages": "untried",
    }
    assert drilled.report.verdict == "pass"
    assert [fired for _, fired in drilled.report.fired] == [1, 1, 1]
    assert drilled.removed == 0
    with Reader.open(tmp_path / "a.db") as reader:
        recorded = [one.tags for one in reader.all_whole(drilled.run_id)]
        assert recorded.count(("fault",)) == 3
        assert drilled.asked_run_id is not None
        asked = list(reader.all_whole(drilled.asked_run_id))
        numbers = {number for check in drilled.report.checks for number in check.exchanges}
    assert {one.id for one in asked} <= numbers
    assert not any(server.token in str(one.request.headers.pairs) for one in asked)


async def test_a_server_that_creates_twice_is_found(tmp_path: Path) -> None:
    async with await serve(defects=["duplicate-accepted"]) as server:
        drilled = await live(server, tmp_path, "op:create nth:1 reset:after")
    assert verdicts(drilled)["created once"] == "fail"
    check = drilled.report.checks[0]
    assert "was created 2 times" in check.why
    assert len(check.exchanges) == 3


async def test_a_client_that_does_not_wait_is_found(tmp_path: Path) -> None:
    async with await serve() as server:
        drilled = await live(server, tmp_path, "op:create nth:1 status:429 retry-after:30", waits=False)
    found = verdicts(drilled)
    assert (found["retried"], found["honoured Retry-After"], found["created once"]) == ("pass", "fail", "pass")


async def test_a_client_that_gives_up_is_found(tmp_path: Path) -> None:
    async with await serve() as server:
        drilled = await live(server, tmp_path, "op:create nth:1 reset:before", tries=1)
    assert verdicts(drilled)["retried"] == "fail"
    assert drilled.report.verdict == "fail"


async def test_a_drill_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drill_run, "MOST_EXCHANGES", 1)
    async with await serve() as server:
        with pytest.raises(EngineError, match="up to 1 can be judged"):
            await live(server, tmp_path, "op:create nth:1 reset:before")


# -- the command --------------------------------------------------------------------------------------------------


async def drilled(server: Demo, folder: Path, *args: str) -> Any:
    given = (args[0], server.url, "--auth", "env:AUTH", "--db", str(folder / "a.db"), *args[1:])
    return await asyncio.to_thread(run, "drill", *given, COLUMNS="80", AUTH=f"Bearer {server.token}")


async def test_the_okta_drill_passes_on_a_good_server(tmp_path: Path) -> None:
    async with await serve() as server:
        done = await drilled(server, tmp_path, "okta")
    assert done.returncode == 0, done.stderr
    assert "created once           pass" in done.stdout
    assert "honoured Retry-After   pass" in done.stdout
    assert "The suite: pass" in done.stderr
    assert "op:create nth:3 duplicate" in done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "Traceback" not in done.stderr


async def test_the_retry_drill_fails_on_a_bad_one(tmp_path: Path) -> None:
    async with await serve(defects=["duplicate-accepted"]) as server:
        done = await drilled(server, tmp_path, "retry", "--json")
        left = await Client(server.url, server.token).send("GET", '/Users?filter=userName sw "Ada."')
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    assert (report["verdict"], report["removed"]) == ("fail", 1)
    assert report["checks"][0]["verdict"] == "fail"
    assert report["suite"]["result"] == "fail"
    assert left[1]["totalResults"] == 0


async def test_a_live_drill_that_nobody_comes_to(tmp_path: Path) -> None:
    async with await serve() as server:
        done = await drilled(server, tmp_path, "pages", "--live", "--for", "0.2s")
    assert done.returncode == 3, done.stderr
    assert "Point the client there" in done.stderr
    assert "never fired: empty-page nth:1" in done.stderr
    assert "untried" in done.stdout


async def test_ctrl_c_ends_a_live_drill_with_its_verdicts(tmp_path: Path) -> None:
    async with await serve() as server:
        given = ("retry", server.url, "--live", "--auth", "env:AUTH", "--db", str(tmp_path / "a.db"))
        process = await asyncio.create_subprocess_exec(
            *command("drill", *given, "--json"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(AUTH=f"Bearer {server.token}"),
        )
        assert process.stderr is not None
        url = (await process.stderr.readline()).decode().split()[2].rstrip(",")
        await Client(url, server.token).provision()
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert process.returncode == 0, err
    report = json.loads(out)
    assert {check["name"]: check["verdict"] for check in report["checks"]}["created once"] == "pass"
    assert report["suite"] is None


def test_the_drills_are_listed() -> None:
    shown = CliRunner().invoke(cli, ["drill"])
    assert shown.exit_code == 0
    assert "okta" in shown.output
    assert "--live  op:create nth:3 reset:after" in shown.output
    listed = CliRunner().invoke(cli, ["drill", "--json"])
    assert [json.loads(line)["name"] for line in listed.output.splitlines()] == ["okta", "retry", "pages", "slow"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("okto", "8000"), "did you mean 'okta'"),
        (("okta",), "TARGET is missing"),
        (("pages", "8000"), "add --live"),
        (("okta", "8000", "--for", "5m"), "--for is for --live"),
        (("okta", "8000", "--fault", "nonsense"), "no word 'nonsense'"),
        (("okta", "8000", "--suite", "no-such"), "no bundled suite"),
        (("okta", "8000", "--port", "8000"), "scimproxy itself"),
        (("okta", "8000"), "auth, first used in step 1"),
    ],
)
def test_what_cannot_be_used_is_told(args: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = run("drill", *args, "--db", str(tmp_path / "a.db"))
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_is_not_there_is_told_before_anything_is_recorded(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    url = f"http://127.0.0.1:{port}/scim/v2"
    done = run("drill", "okta", url, "--auth", "env:AUTH", "--db", str(tmp_path / "a.db"), AUTH="Bearer x")
    assert done.returncode == 3
    assert "nothing listens there" in done.stderr
    assert not (tmp_path / "a.db").exists()
