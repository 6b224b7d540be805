from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import replace
from typing import Any

import pytest
from factories import exchange, request, response
from hypothesis import given, settings
from hypothesis import strategies as st

from scimproxy import redact as module
from scimproxy.decode import decode
from scimproxy.exchange import Content, Exchange, Failure, Headers, Rewrite, fingerprint
from scimproxy.redact import SECRET_PARAMETERS, redact

SECRET = "s3cr3t-Value!42"
MARK = fingerprint(SECRET)


def stored(value: object) -> bytes:
    """Everything the store could write of an exchange."""
    if isinstance(value, bytes):
        return value + b"\n"
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape") + b"\n"
    if isinstance(value, Headers):
        return stored(value.pairs)
    if isinstance(value, tuple | list):
        return b"".join(stored(one) for one in value)
    if hasattr(value, "__dataclass_fields__"):
        return b"".join(stored(getattr(value, name)) for name in value.__dataclass_fields__)
    return b""


def header(name: str, value: str) -> str:
    safe, _ = redact(exchange(request=request(headers={name: value})))
    found = safe.request.headers.get(name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("Authorization", f"Bearer {SECRET}", f"Bearer {MARK}"),
        ("authorization", SECRET, MARK),
        ("Proxy-Authorization", f"Basic {SECRET}", f"Basic {MARK}"),
        ("Authorization", "", ""),
        ("Cookie", f"a={SECRET}; b={SECRET};c=", f"a={MARK}; b={MARK};c="),
        ("Cookie", f" {SECRET};", f" {MARK};"),
        ("Set-Cookie", f"sid={SECRET}; Path=/; HttpOnly", f"sid={MARK}; Path=/; HttpOnly"),
        ("Set-Cookie", f"sid={SECRET}", f"sid={MARK}"),
        ("X-API-Key", SECRET, MARK),
        ("X-Vault-Token", SECRET, MARK),
        ("X-Client-Secret", SECRET, MARK),
        ("Location", f"https://u:{SECRET}@h/x?a=1&token={SECRET}", f"https://u:{MARK}@h/x?a=1&token={MARK}"),
        ("Referer", f"https://h/#access_token={SECRET}&x=1", f"https://h/#access_token={MARK}&x=1"),
        (
            "Link",
            f'<https://h/?page=2&api_key={SECRET}>; rel="next"',
            f'<https://h/?page=2&api_key={MARK}>; rel="next"',
        ),
        ("X-Any", f"see https://{SECRET}@h/", f"see https://{MARK}@h/"),
        ("Content-Type", "application/json; charset=utf-8", "application/json; charset=utf-8"),
        ("ETag", 'W/"?a=b"', 'W/"?a=b"'),
    ],
)
def test_headers(name: str, value: str, expected: str) -> None:
    assert header(name, value) == expected


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/Users", "/Users"),
        ("/Users?count=1&startIndex=1", "/Users?count=1&startIndex=1"),
        (f"/Users?a=1&access_token={SECRET}&b=2", f"/Users?a=1&access_token={MARK}&b=2"),
        (f"/Users?Token={SECRET}", f"/Users?Token={MARK}"),
        (f"/Users?%74oken={SECRET}", f"/Users?%74oken={MARK}"),
        (f"/Users?x-scim-token={SECRET}", f"/Users?x-scim-token={MARK}"),
        (f"/Users?a=1;sig={SECRET};flag;b=2", f"/Users?a=1;sig={MARK};flag;b=2"),
        (f"/Users;jsessionid={SECRET}/x?a=b", f"/Users;jsessionid={MARK}/x?a=b"),
        (f"http://u:{SECRET}@h/Users?code=", f"http://u:{MARK}@h/Users?code="),
        ("http://@h/Users", "http://@h/Users"),
        (f"http://{SECRET}:@h/", f"http://{MARK}@h/".replace(MARK, fingerprint(SECRET + ":"))),
        ("/Users?token", "/Users?token"),
        (
            f"/Users?filter=password%20eq%20%22{SECRET}%22&count=1",
            f"/Users?filter=password%20eq%20%22{MARK.replace(':', '%3A')}%22&count=1",
        ),
        ("/Users?filter=userName%20eq%20%22a%40b%22", "/Users?filter=userName%20eq%20%22a%40b%22"),
        ("/Users?filter=passwordAge%20eq%201", "/Users?filter=passwordAge%20eq%201"),
    ],
)
def test_targets(target: str, expected: str) -> None:
    safe, _ = redact(exchange(target=target))
    assert safe.request.target == expected


def test_each_secret_parameter_is_hinted_at() -> None:
    for name in SECRET_PARAMETERS:
        assert redact(exchange(target=f"/x?{name.upper()}={SECRET}"))[0].request.target.endswith(MARK)


def body_of(body: bytes, headers: dict[str, str] | None = None, **content: Any) -> Content:
    made = exchange(request=request("POST", body=replace(Content.of(body), **content), headers=headers or {}))
    return redact(made)[0].request.content


def test_a_password_is_replaced_and_nothing_else_moves() -> None:
    body = b'{ "userName":"b",\n\t"Password" : "s3cr3t-Value!42" , "n":1.50e1, "n":2, "e":"\\u00e9"}'
    content = body_of(body)
    assert content.data == body.replace(SECRET.encode(), MARK.encode())
    assert (content.size, content.redacted, content.truncated) == (len(body), True, False)
    assert content.sha256 == Content.of(content.data).sha256


def test_a_body_without_secrets_is_the_same_object() -> None:
    made = exchange(body={"userName": "x", "note": "password rules", "passwordAge": 3}, answer={"a": "\u00e9"})
    safe, found = redact(made)
    assert safe is made and not found


def test_forms_lose_their_secrets() -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    body = f"grant_type=client_credentials&client_secret={SECRET.replace('!', '%21')}&flag".encode()
    assert body_of(body, headers).data == f"grant_type=client_credentials&client_secret={MARK}&flag".encode()
    assert body_of(b"a=b&c", headers).redacted is False


def test_coded_bodies_are_kept_decoded() -> None:
    plain = json.dumps({"password": SECRET}).encode()
    packed = gzip.compress(plain)
    content = body_of(packed, {"Content-Encoding": "gzip"})
    assert content.data == json.dumps({"password": MARK}).encode()
    assert content.redacted and content.size == len(packed)
    assert decode(content, Headers([("Content-Encoding", "gzip")])).data == content.data


def test_coded_bodies_without_secrets_stay_coded() -> None:
    packed = gzip.compress(b'{"userName": "b"}')
    assert body_of(packed, {"Content-Encoding": "gzip"}).data == packed
    assert body_of(packed[:-9], {"Content-Encoding": "gzip"}).data == packed[:-9]


def test_a_wrong_or_unknown_coding_hides_nothing() -> None:
    plain = json.dumps({"password": SECRET}).encode()
    for coding in ("gzip", "compress", "br"):
        assert body_of(plain, {"Content-Encoding": coding}).data == plain.replace(SECRET.encode(), MARK.encode())
    assert body_of(b'{"passwordAge": 1}', {"Content-Encoding": "gzip"}).redacted is False
    mixed = gzip.compress(b'{"a": 1}') + plain
    assert body_of(mixed, {"Content-Encoding": "gzip"}).data == b'{"a": 1}'


def test_a_bomb_is_kept_as_its_first_mebibyte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_DECODED_LIMIT", 2_000_000)
    content = body_of(zlib.compress(b" " * 3_000_000 + b'{"password": "x"}'), {"Content-Encoding": "deflate"})
    assert content.data == b" " * 1024 * 1024 and content.redacted


def test_wide_charset_by_its_name_only() -> None:
    text = f'{{"é": "漢", "password": "{SECRET}"}}'
    content = body_of(text.encode("utf-16-be"), {"Content-Type": "application/json; charset=utf-16"})
    assert content.data.decode("utf-16-be") == text.replace(SECRET, MARK)


def test_an_echo_of_a_secret_in_the_answer_is_found() -> None:
    made = exchange(
        request=request("POST", body={"password": SECRET}, headers={"Authorization": "Bearer longwordonly"}),
        response=response(400, {"detail": f"{SECRET} is longwordonly"}, headers={"X-Note": f"{SECRET}?"}),
        upstream_response_headers=Headers([("X-Note", SECRET)]),
        failure=Failure("closed", f"saw {SECRET}"),
    )
    safe, _ = redact(made)
    assert SECRET.encode() not in stored(safe)
    assert b"longwordonly" in stored(safe.response)


def test_the_other_fields() -> None:
    url = f"https://h/x?token={SECRET}"
    made = exchange(
        request=replace(request(), trailers=Headers([("Authorization", SECRET)])),
        response=replace(response(), trailers=Headers([("X-Api-Key", SECRET)])),
        upstream_request_target=url,
        upstream_request_headers=Headers([("Cookie", f"a={SECRET}")]),
        upstream_response_headers=Headers([("Set-Cookie", f"a={SECRET}")]),
        failure=Failure("dns", url),
        rewrites=(Rewrite("header:Location", url, url),),
        note=url,
        extra=(("x", json.dumps({"password": SECRET})), ("y", "1")),
    )
    safe, found = redact(made)
    assert SECRET.encode() not in stored(safe) and found == {MARK: SECRET}
    assert redact(safe) == (safe, {})


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("entry.request.cookies", [{"name": "a", "value": SECRET, "path": "/"}], True),
        ("entry.request.headers", [{"name": "authorization", "value": f"Bearer {SECRET}"}], True),
        ("entry.request.queryString", [{"name": "token", "value": SECRET}], True),
        ("entry.request.postData.params", [{"name": "client_secret", "value": SECRET}], True),
        ("entry._initiator", {"url": f"https://h/?token={SECRET}", "b": 1}, True),
        ("entry.request.queryString", [{"name": "a", "value": "b+ c"}, {"name": 1}, 2], False),
        ("entry.request.headers", {"name": 1}, False),
    ],
)
def test_members_of_imported_files(name: str, value: object, kept: bool) -> None:
    made = exchange(extra=((name, json.dumps(value)),))
    safe, found = redact(made)
    assert SECRET.encode() not in stored(safe) and bool(found) is kept
    assert redact(safe) == (safe, {})
    assert (safe is made) is not kept
    json.loads(safe.extra[0][1])


def test_nothing_to_do_in_any_field() -> None:
    made = exchange(
        request=replace(request(), trailers=Headers()),
        response=replace(response(), trailers=Headers([("a", "b")])),
        upstream_request_target="/x",
        upstream_request_headers=Headers(),
        upstream_response_headers=Headers(),
        failure=Failure("dns", "no such host"),
        rewrites=(Rewrite("a", "b", "c"),),
        note="fine",
        extra=(("x", "1"),),
    )
    assert redact(made)[0] is made
    assert redact(replace(made, response=None))[0].response is None


# -- planted anywhere

NOISE = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
SECRETS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=6, max_size=20).map(
    lambda text: "Zq7" + text.strip() + "x"
)


@st.composite
def planted(draw: st.DrawFn) -> tuple[object, str]:
    secret = draw(SECRETS)
    word = draw(st.sampled_from(["password", "Password", "PASSWORD", "urn:a:b:User:password"]))
    inner: object = {word: secret}
    match draw(st.integers(0, 3)):
        case 0:
            op: dict[str, object] = {"op": "replace", "path": word, "value": secret}
            inner = {"Operations": [dict(draw(st.permutations(list(op.items()))))]}
        case 1:
            inner = {word: {"value": [secret, 1]}}
        case 2:
            inner = {"Operations": [{"op": "add", "path": "password", "value": [{"value": secret}]}]}
    for _ in range(draw(st.integers(0, 3))):
        inner = draw(
            st.sampled_from([[inner], {"data": inner}, [draw(NOISE), inner], {"value": inner, "a": draw(NOISE)}])
        )
    return inner, secret


def leaks(made: Exchange, secret: str) -> bool:
    kept = stored(made)
    forms = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return any(form.encode() in kept for form in forms)


@given(planted(), st.booleans(), st.sampled_from(["", "gzip"]), st.sampled_from([None, 0, 2]), st.booleans())
@settings(max_examples=250, deadline=None)
def test_no_planted_secret_survives(
    plant: tuple[object, str], ascii_only: bool, coding: str, indent: int | None, answer: bool
) -> None:
    value, secret = plant
    body = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    packed = gzip.compress(body) if coding else body
    headers = {"Content-Encoding": coding} if coding else {}
    made = (
        exchange(response=response(200, packed, headers=headers))
        if answer
        else exchange(request=request("POST", body=packed, headers=headers))
    )
    safe, found = redact(made)
    assert not leaks(safe, secret)
    assert secret in found.values()
    assert redact(safe) == (safe, {})
    content = safe.response.content if answer and safe.response else safe.request.content
    json.loads(content.data)


@given(planted(), st.floats(0, 1), st.booleans())
@settings(max_examples=250, deadline=None)
def test_no_planted_secret_survives_a_cut(plant: tuple[object, str], part: float, answer: bool) -> None:
    value, secret = plant
    body = json.dumps(value, ensure_ascii=False).encode()
    cut = replace(Content.of(body[: int(len(body) * part)]), size=len(body))
    made = exchange(answer=cut) if answer else exchange(request=request("POST", body=cut))
    safe, _ = redact(made)
    assert not leaks(safe, secret)
    # A first half of a secret must not stay either.
    assert json.dumps(secret, ensure_ascii=False)[1:6].encode() not in stored(safe)
    assert redact(safe) == (safe, {})


@given(st.binary(max_size=200), st.booleans())
@settings(max_examples=200)
def test_any_bytes_are_taken_and_redacting_twice_changes_nothing(data: bytes, cut: bool) -> None:
    body = replace(Content.of(b'{"password":' + data), size=500 if cut else len(data) + 12)
    safe, _ = redact(exchange(request=request("POST", body=body), answer=data))
    assert redact(safe) == (safe, {})
