from __future__ import annotations

import pytest
from factories import request
from hypothesis import given
from hypothesis import strategies as st

from scimproxy.clients import CLIENTS, LABELS, identify
from scimproxy.exchange import Headers, Request


@pytest.mark.parametrize(
    ("agent", "label"),
    [
        ("runscope-radar/2.0", "runscope"),
        ("runscope/0.1", "runscope"),
        ("OKTA SCIM Integration", "okta-runscope"),
        ("Okta SCIM Client 1.0.0", "okta"),
        ("okta scim client 2.0.0", "okta"),
        ("curl/7.88.1", "curl"),
        ("Mozilla/5.0 (X11; Linux x86_64) Chrome/140 Safari/537.36", "browser"),
        ("scim2-cli/0.6", "scim2-cli"),
        ("scim-sanity/0.7.4", "scim-sanity"),
        ("python-requests/2.32", "python"),
        ("Python-urllib/3.13", "python"),
        ("Python/3.13 aiohttp/3.14.5", "python"),
        ("python-httpx2/2.16", "python"),
        ("node", "node"),
        ("axios/1.7", "node"),
        ("Go-http-client/1.1", "go"),
        ("Apache-HttpClient/5.4 (Java/21)", "java"),
        ("PostmanRuntime/7.43", "postman"),
        ("ngrok/3.30", "ngrok"),
        ("scimproxy/0.1.0", "scimproxy"),
        ("Azure AD SCIM provisioning", "entra"),
        ("something new", "other"),
        ("  ", None),
    ],
)
def test_user_agents(agent: str, label: str | None) -> None:
    assert identify(request(headers={"user-agent": agent})) == label


def test_a_request_without_any_mark_has_no_label() -> None:
    assert identify(Request("GET", "/Users")) is None


def test_entra_by_its_flag_in_the_target() -> None:
    assert identify(request(target="/Users?filter=x&aadOptscim062020")) == "entra"


@pytest.mark.parametrize(
    ("agent", "op", "label"),
    [(None, "Add", "entra"), ("x", "Replace", "entra"), ("x", "add", "other"), ("curl/8", "Add", "curl")],
)
def test_entra_by_capital_op_words_where_nothing_better_speaks(agent: str | None, op: str, label: str) -> None:
    headers = {"User-Agent": agent} if agent else {}
    assert identify(request("PATCH", body={"Operations": [{"op": op}]}, headers=headers)) == label


def test_entra_is_not_told_from_other_methods() -> None:
    assert identify(request("POST", body={"Operations": [{"op": "Add"}]})) is None


@pytest.mark.parametrize(
    ("agent", "accept", "kind", "label"),
    [
        ("python-httpx2/2.16", "application/scim+json", "application/scim+json", "scim2-cli"),
        ("python-httpx/0.28", "application/scim+json", "application/json", "python"),
        ("Python-urllib/3.13", "application/scim+json", "application/scim+json", "scim-sanity"),
        ("python-requests/2", "application/scim+json", "application/scim+json", "python"),
        ("Python-urllib/3.13", "*/*", "application/scim+json", "python"),
    ],
)
def test_scim_tools_that_keep_their_library_s_user_agent(agent: str, accept: str, kind: str, label: str) -> None:
    assert identify(request(headers={"User-Agent": agent, "Accept": accept, "Content-Type": kind})) == label


def test_the_table_documents_each_label_once() -> None:
    assert len(set(LABELS)) == len(CLIENTS)
    assert all(client.name and client.how for client in CLIENTS)


@given(st.text(max_size=50), st.text(max_size=600), st.binary(max_size=50))
def test_every_answer_is_a_label_of_the_table(target: str, agent: str, body: bytes) -> None:
    made = request("PATCH", target, body=body)
    found = identify(Request("PATCH", made.target, headers=Headers([("User-Agent", agent)]), content=made.content))
    assert found is None or found in LABELS
