from __future__ import annotations

from dataclasses import replace

import factories
import pytest
from listeners import free_port, http, listener

from scimproxy.exchange import Failure, FailureKind, Headers, Response
from scimproxy.tunnel.probe import HEADER
from scimproxy.tunnel.proof import Prober, judge

HOST = "abc.example"


def answered(status: int, **fields: str) -> Response:
    return Response(status, "X", "1.1", Headers([(name.replace("_", "-"), value) for name, value in fields.items()]))


def test_only_an_answer_of_ours_is_proof() -> None:
    exchange = replace(factories.exchange(), failure=None)
    seen = judge(replace(exchange, response=answered(401)), HOST, seen=True)
    assert seen.ok
    assert seen.message.startswith("a request through the public URL came back in ")
    proved = replace(exchange, response=answered(204, Scimproxy_Probe="x"))
    assert judge(proved, HOST, seen=False, proof="x").ok
    assert not judge(proved, HOST, seen=False, proof="y").ok  # somebody sent back what was sent, or anything
    assert not judge(proved, HOST, seen=False).ok  # our engine answers no probes, so somebody else did
    other = judge(replace(exchange, response=answered(200)), HOST, seen=False)
    assert not other.ok
    assert "did not reach scimproxy" in other.message
    assert not judge(replace(exchange, response=answered(200, Scimproxy_Probe="x")), HOST, seen=False, proof="x").ok


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("ERR_NGROK_3200", "offline"),
        ("ERR_NGROK_8012", "cannot reach scimproxy"),
        ("ERR_NGROK_1", "itself (ERR_NGROK_1)"),
    ],
)
def test_answers_of_ngrok_itself_are_explained(code: str, said: str) -> None:
    exchange = replace(factories.exchange(), failure=None, response=answered(404, ngrok_error_code=code))
    proof = judge(exchange, HOST, seen=False)
    assert not proof.ok
    assert said in proof.message


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("dns", "cannot be resolved yet"),
        ("tls", "the certificate of abc.example"),
        ("refused", "cannot be reached"),
        ("timeout", "cannot be reached"),
        ("closed", "gives no answer"),
    ],
)
def test_which_part_is_broken(kind: FailureKind, said: str) -> None:
    exchange = replace(factories.exchange(), response=None, failure=Failure(kind, "why."))
    proof = judge(exchange, HOST, seen=False)
    assert not proof.ok
    assert said in proof.message
    assert "why" in proof.message
    back = judge(exchange, HOST, seen=True)
    assert not back.ok
    assert "its answer did not get back" in back.message


def test_a_failure_without_words() -> None:
    assert (
        "nothing came" in judge(replace(factories.exchange(), response=None, failure=None), HOST, seen=False).message
    )


async def test_what_is_sent() -> None:
    asked: list[str] = []

    async def seen(nonce: str) -> bool:
        asked.append(nonce)
        return True

    heads: list[str] = []
    with listener(lambda target: heads.append(target) or http(200)) as port:  # type: ignore[func-returns-value]
        proof = await Prober("/scim/v2", seen, nonce=lambda: "n1")(f"http://127.0.0.1:{port}")
    assert proof.ok
    assert (asked, heads) == (["n1"], ["/scim/v2/ServiceProviderConfig"])


async def test_nobody_answers() -> None:
    asked: list[str] = []

    async def seen(nonce: str) -> bool:
        asked.append(nonce)
        return False

    proof = await Prober("", seen)(f"http://127.0.0.1:{free_port()}")
    assert not proof.ok
    assert "cannot be reached" in proof.message
    assert len(asked) == 2  # an exchange without an answer may be written a moment later
    assert HEADER == "Scimproxy-Probe"
