from __future__ import annotations

import base64
import gzip
import json
import re
import zlib
from dataclasses import replace
from typing import Any
from urllib.parse import quote

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


@pytest.mark.parametrize("body", [b'{"password":"geheim","a":1}', b' [{"client_secret": "geheim"}]'])
def test_json_that_is_called_a_form_is_json(body: bytes) -> None:
    """`curl -d` says that every body is a form."""
    headers = Headers([("Content-Type", "application/x-www-form-urlencoded")])
    clean, secrets = redact(exchange(request=request("POST", headers=headers, body=body)))
    assert clean.request.content.data == body.replace(b"geheim", fingerprint("geheim").encode())
    assert secrets == {fingerprint("geheim"): "geheim"}


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
    assert b"longwordonly" not in stored(safe.response)


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


def test_a_picture_is_not_taken_for_text_in_utf_16() -> None:
    data = b"\x00\x01" + bytes(range(256)) * 40
    made = exchange("POST", request=request("POST", body=data, headers={"Content-Type": "image/png"}))
    assert redact(made)[0] is made
    told = b"\x00\x01" + json.dumps({"password": "5f1c-very-secret"}).encode()
    made = exchange("POST", request=request("POST", body=told, headers={"Content-Type": "image/png"}))
    assert b"5f1c-very-secret" not in redact(made)[0].request.content.data


# -- echoes


def answered(headers: dict[str, str], body: object, answer: bytes, answer_headers: dict[str, str]) -> Exchange:
    asked = request("POST", body=json.dumps(body).encode(), headers=headers)
    return redact(exchange(request=asked, response=response(400, answer, headers=answer_headers)))[0]


@pytest.mark.parametrize(
    "secret", ["letters/only?", "onlyletters", "p\u00e4ss\u00e4ge \U0001f600", 'a"b\\c/d+e&f', "s3cr3t-Value!42"]
)
def test_a_password_is_found_in_every_coding_of_an_answer(secret: str) -> None:
    forms = {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        json.dumps(secret)[1:-1].replace("/", "\\/").replace("+", "\\u002B"),
        quote(secret),
        re.sub("%..", lambda code: code[0].lower(), quote(secret, safe="")).replace("%20", "+"),
    }
    for form in forms:
        safe = answered({}, {"password": secret}, f"<{form}>".encode(), {"Location": f"/weak/{quote(secret)}/x"})
        assert safe.response is not None
        assert safe.response.content.data == f"<{fingerprint(secret)}>".encode()
        assert safe.response.headers.get("Location") == f"/weak/{fingerprint(secret)}/x"


@pytest.mark.parametrize(("pair", "secret"), [("okta:onlyletters", "onlyletters"), ("a1b2c3d4e5f6:", "a1b2c3d4e5f6")])
def test_the_password_inside_basic_credentials_is_found(pair: str, secret: str) -> None:
    value = "Basic " + base64.b64encode(pair.encode()).decode()
    safe = answered({"Authorization": value}, {}, f"no {secret} here".encode(), {})
    assert secret.encode() not in stored(safe)
    safe = answered({"Authorization": "Basic " + base64.b64encode(b"u:short").decode()}, {}, b"short", {})
    assert b"short" in stored(safe)


def test_ordinary_words_are_left_in_answers() -> None:
    safe = answered(
        {"Cookie": "look=darktheme", "X-Auth": "required"},
        {"password": "password"},
        b"darktheme password required",
        {},
    )
    assert b"darktheme password required" in stored(safe)
    # The same word where there is no doubt decides, whichever comes first.
    safe = answered({"Cookie": "look=darktheme", "X-Api-Key": "darktheme"}, {}, b"darktheme", {})
    assert b"darktheme" not in stored(safe)
    made = exchange(
        request=request(
            "POST", "/x?code=darktheme&password=darktheme&key=darktheme", headers={"Cookie": "a=darktheme"}
        ),
        response=response(400, b"darktheme"),
    )
    assert b"darktheme" not in stored(redact(made)[0])


# -- forms, names, tokens


@pytest.mark.parametrize("kind", [None, "text/plain", "application/json"])
def test_a_form_is_known_by_its_look(kind: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    content = body_of(f"grant_type=password&password={SECRET.replace('!', '%21')}".encode(), headers)
    assert content.data == f"grant_type=password&password={MARK}".encode()
    assert SECRET.encode() not in body_of(f'data={{"password":"{SECRET}"}}'.encode(), headers).data


@pytest.mark.parametrize(
    "name",
    [
        "Ocp-Apim-Subscription-Key",
        "X-Functions-Key",
        "X-Access-Key",
        "X-Auth",
        "X-JWT",
        "X-Goog-Iap-Jwt-Assertion",
        "X-Session-Id",
        "Authentication",
        "X-Client-Cert",
        "X-Okta-Key",
        "X-ApiKey",
        "X-SessionId",
    ],
)
def test_header_fields_that_are_secret_by_the_end_of_their_name(name: str) -> None:
    assert header(name, SECRET) == MARK
    assert header(name, MARK) == MARK


@pytest.mark.parametrize(
    "name", ["Sec-WebSocket-Key", "Idempotency-Key", "X-Idempotency-Key", "X-Monkeys", "Surrogate-Key"]
)
def test_header_fields_that_are_no_secrets(name: str) -> None:
    assert header(name, SECRET) == SECRET


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"{SECRET} Bearer", f"{MARK} Bearer"),
        (f"{SECRET} more", fingerprint(f"{SECRET} more")),
        (f"Odd {MARK}", f"Odd {MARK}"),
        ("Negotiate", "Negotiate"),
        ("SSWS 00a-b", f"SSWS {fingerprint('00a-b')}"),
    ],
)
def test_credentials(value: str, expected: str) -> None:
    assert header("Authorization", value) == expected
    assert header("Authorization", expected) == expected


JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"


def test_a_json_web_token_is_found_wherever_it_stands() -> None:
    url = f"https://h/{JWT}/x?hint={JWT}"
    made = exchange(
        request=request(
            "POST",
            f"/Users/{JWT}?a={JWT}",
            body={"assertedBy": JWT, "x": f"see {JWT}."},
            headers={"X-Odd": f"a {JWT}"},
        ),
        response=response(400, f"<p>{JWT}</p>".encode(), headers={"Location": f"/{JWT}", "Link": f"<{url}>"}),
        note=f"was {JWT}",
        extra=(("x", json.dumps({"a": JWT})),),
    )
    safe, found = redact(made)
    assert JWT.encode() not in stored(safe) and b"eyJzdWIi" not in stored(safe)
    assert found == {fingerprint(JWT): JWT}
    assert json.loads(safe.request.content.data) == {"assertedBy": fingerprint(JWT), "x": f"see {fingerprint(JWT)}."}
    assert redact(safe) == (safe, {})


@pytest.mark.parametrize(
    "name", ["clientSecret", "client_secret", "accessToken", "access_token", "refreshToken", "apiKey", "api_key"]
)
def test_query_parameters_in_both_spellings(name: str) -> None:
    assert redact(exchange(target=f"/x?{name}={SECRET}"))[0].request.target == f"/x?{name}={MARK}"


def test_headers_met_again_give_their_secrets_again() -> None:
    headers = Headers([("Authorization", f"Bearer {SECRET}")])
    for _ in range(2):
        made = exchange(request=replace(request(), headers=headers), response=response(400, SECRET.encode()))
        safe, found = redact(made)
        assert found == {MARK: SECRET} and SECRET.encode() not in stored(safe)
