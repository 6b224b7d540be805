"""Compliance testers that we did not write, against the embedded server over a real loopback socket."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from scimproxy.demo import Demo, serve
from scimproxy.scim.dialect import Dialect


@contextmanager
def running(dialect: Dialect | None = None) -> Iterator[Demo]:
    """Run the server in a thread of its own; the testers are synchronous."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        demo = asyncio.run_coroutine_threadsafe(serve(dialect=dialect or Dialect()), loop).result(30)
        try:
            yield demo
        finally:
            asyncio.run_coroutine_threadsafe(demo.close(), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


@pytest.mark.slow
@pytest.mark.parametrize("patch_answer", ["resource", "empty"])
def test_scim2_tester_finds_nothing_wrong(patch_answer: str) -> None:
    tester = pytest.importorskip("scim2_tester", reason="scim2-tester is not installed (dependency group peers)")
    client_module = pytest.importorskip(
        "scim2_client.engines.httpx2", reason="scim2-client has no httpx2 engine here"
    )
    httpx2 = pytest.importorskip("httpx2", reason="httpx2 is not installed (dependency group peers)")
    requests = 0

    def count(_: object) -> None:
        nonlocal requests
        requests += 1

    with running(Dialect(patch_answer=patch_answer)) as demo:  # type: ignore[arg-type]  # parametrized
        kept = len(demo.directory)
        with httpx2.Client(
            base_url=demo.url, headers={"Authorization": f"Bearer {demo.token}"}, event_hooks={"request": [count]}
        ) as http:
            results = tester.check_server(client_module.SyncSCIMClient(http))
        assert len(demo.directory) == kept, "the tester removes what it made"
    wrong = [result for result in results if result.status is not tester.Status.SUCCESS]
    assert wrong == []
    assert len(results) > 100, "the tester stops early when discovery is imperfect"
    assert requests > 300


def probe(dialect: Dialect) -> tuple[int, list[dict[str, str]]]:
    pytest.importorskip("scim_sanity", reason="scim-sanity is not installed (dependency group peers)")
    with running(dialect) as demo:
        command = [sys.executable, "-m", "scim_sanity", "probe", demo.url, "--token", demo.token]
        done = subprocess.run(
            [*command, "--i-accept-side-effects", "--json-output"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    return done.returncode, json.loads(done.stdout)["results"]


@pytest.mark.slow
def test_scim_sanity_finds_nothing_wrong_when_members_need_not_exist() -> None:
    code, results = probe(Dialect(dangling_members="keep"))
    assert [one for one in results if one["status"] in {"fail", "error"}] == []
    assert code == 0
    assert Counter(one["status"] for one in results)["pass"] > 20


@pytest.mark.slow
def test_scim_sanity_on_the_default_differs_only_in_its_member_that_does_not_exist() -> None:
    """The probe adds "fake-member-id" to a group and wants 200: a server may refuse that."""
    _, results = probe(Dialect())
    wrong = [one for one in results if one["status"] in {"fail", "error"}]
    assert len(wrong) == 1 and "member" in json.dumps(wrong).lower()
