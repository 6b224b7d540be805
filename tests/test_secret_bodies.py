from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimproxy import secret_bodies
from scimproxy.exchange import fingerprint
from scimproxy.secret_bodies import (
    SECRET_MEMBERS,
    SECRET_TEXTS,
    Keep,
    Look,
    edited,
    hints,
    is_fingerprint,
    mentions,
    suspicious,
    without_comparisons,
    without_jwts,
)

SECRET = "s3cr3t-Value!42"
MARK = fingerprint(SECRET)


def edit(body: str | bytes, *, charset: str | None = None, cut: bool = False) -> str:
    data = body.encode() if isinstance(body, str) else body
    return edited(data, Keep({}), charset=charset, cut=cut).decode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    "body",
    [
        '{"password":"@"}',
        '{"pass\\u0077ord":"@"}',
        '{"urn:ietf:params:scim:schemas:core:2.0:User:password":"@"}',
        '{"a":[{"PASSWORD":"@","x":null}]}',
        '{"password":["@",null,true,false,{"k":"@"}]}',
        '{"password":"@","password":"@"}',
        '{"access_token":"@","expires_in":3600}',
        '{"Operations":[{"op":"replace","path":"password","value":"@"}]}',
        '{"Operations":[{"value":"@","op":"Replace","path":" Password "}]}',
        '{"path":"urn:a:User:password","value":{"value":"@"}}',
        '{"Operations":[{"method":"POST","path":"/Users","data":{"password":"@","userName":"b"}}]}',
        '{"password":"@" ,, "x" : "y" junk',
        '{"password" "a": "password":"@"',
        ']]}{"password":"@"}',
        '[1,2,{"password":"@"}, 3]',
    ],
)
def test_json(body: str) -> None:
    assert edit(body.replace("@", SECRET)) == body.replace("@", MARK)


@pytest.mark.parametrize(
    "body",
    [
        '{"password":null}',
        '{"password":""}',
        '{"password":true}',
        '{"passwordPolicy":"x"}',
        '{"name":"password","type":"string"}',
        '{"path":"passwordPolicy","value":"x"}',
        '{"path":5,"value":"x"}',
        '{"changePassword":{"supported":false}}',
        '{"a":"\\"password\\":1"}',
        f'{{"password":"{MARK}"}}',
        "password",
        "",
    ],
)
def test_json_that_stays(body: str) -> None:
    data = body.encode()
    assert edited(data, Keep({})) is data


def test_a_number_becomes_a_text() -> None:
    assert edit('{"password": 12345}') == f'{{"password": "{fingerprint("12345")}"}}'


def test_escapes_are_undone_before_the_fingerprint() -> None:
    found: dict[str, str] = {}
    edited(b'{"password":"a\\"\\u00e9\\\\"}', Keep(found))
    assert list(found.values()) == ['a"é\\']
    found.clear()
    edited(b'{"password":"\\ud800 \\x"}', Keep(found))
    assert list(found.values()) == ["\\ud800 \\x"]
    found.clear()
    edited(b'{"password":"\\ud800"}', Keep(found))
    assert list(found.values()) == ["\\ud800"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"password":"@', '{"password":"@"'),
        ('{"password":"@\\', None),
        ('{"a":[{"password":"@"},{"b', '{"a":[{"password":"@"},{"b'),
        ('{"op":"replace","value":"@', '{"op":"replace","value":"@"'),
        ('{"Operations":[{"value":"@', '{"Operations":[{"value":"@"'),
        ('{"op":"replace","value":["@","@"', '{"op":"replace","value":["@","@"'),
        ('{"op":"replace","value":"@","path":"pass', '{"op":"replace","value":"@","path":"pass'),
    ],
)
def test_cut_json(body: str, expected: str | None) -> None:
    found = edit(body.replace("@", SECRET), cut=True)
    assert SECRET not in found
    if expected is not None:
        assert found == expected.replace("@", MARK)


def test_a_cut_operation_with_another_path_keeps_its_value() -> None:
    body = '{"op":"replace","path":"title","value":"x'
    assert edit(body, cut=True) == body
    assert suspicious(body.encode(), cut=True) and not suspicious(body.encode())


@pytest.mark.parametrize("depth", [499, 501, 100_000])
def test_depth_hides_nothing(depth: int) -> None:
    body = '{"a":' * depth + '{"password":"@","x":{"password":["@"]}}' + "}" * depth + '{"password":"@"}'
    assert SECRET not in edit(body.replace("@", SECRET))


def test_filters_and_paths_lose_the_values_compared_with_a_password() -> None:
    body = {"filter": f'userName eq "b" and password eq "{SECRET}"', "count": 1}
    assert json.loads(edit(json.dumps(body)))["filter"] == f'userName eq "b" and password eq "{MARK}"'
    body = {"op": "remove", "path": f'x[password eq "{SECRET}"]'}
    assert json.loads(edit(json.dumps(body)))["path"] == f'x[password eq "{MARK}"]'
    again = edit(json.dumps(body))
    assert edit(again) == again
    assert (
        without_comparisons("password eq 12 and a eq 1", Keep({})) == f'password eq "{fingerprint("12")}" and a eq 1'
    )
    assert without_comparisons('password eq ""', Keep({})) == 'password eq ""'


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_wide_codings(codec: str, mark: str) -> None:
    body = f'{mark}{{"é":"漢","password":"{SECRET}"}}'
    data = body.encode(codec)
    assert suspicious(data)
    assert edited(data + b"\0", Keep({})).removesuffix(b"\0").decode(codec) in {
        body.replace(SECRET, MARK),
        body.replace(SECRET, MARK) + "}",
    } or SECRET.encode(codec) not in edited(data + b"\0", Keep({}))
    assert edited(data, Keep({})).decode(codec) == body.replace(SECRET, MARK)
    plain = f'{mark}{{"a":"漢"}}'.encode(codec)
    assert edited(plain, Keep({})) is plain


def test_a_declared_charset_settles_what_no_mark_shows() -> None:
    body = f'漢{{"password":"{SECRET}"}}'
    for charset in ("utf-16-le", "utf_16", "utf-16be"):
        codec = "utf-16-le" if charset.endswith("le") else "utf-16-be"
        assert edited(body.encode(codec), Keep({}), charset=charset).decode(codec) == body.replace(SECRET, MARK)


def test_zeros_that_are_no_text() -> None:
    data = b"\0\0\0\xff\xff\xff\xff\xff" + f'{{"password":"{SECRET}"}}'.encode()
    assert SECRET.encode() not in edited(data, Keep({}))


@pytest.mark.parametrize(
    "body",
    [
        "<User><password>@</password><x>1</x></User>",
        '<?xml version="1.0"?><s:User xmlns:s="x"><s:Password type="a">@</s:Password></s:User>',
        '--b\r\nContent-Disposition: form-data; name="password"\r\nContent-Type: text/plain\r\n\r\n@\r\n--b--',
    ],
)
def test_xml_and_multipart(body: str) -> None:
    assert edit(body.replace("@", SECRET)) == body.replace("@", MARK)
    assert edit(body.replace("@", MARK)) == body.replace("@", MARK)


def test_xml_sections_and_blanks() -> None:
    assert SECRET not in edit(f"<a><password><![CDATA[<{SECRET}>]]></password></a>")
    assert edit("<a><password> </password></a>") == "<a><password> </password></a>"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"PassWord":1}', True),
        (b'{"client_secret":1}', True),
        (b'{"id_token":1}', True),
        (b'{"a_b":1}', False),
        (b'{"\\u0070":1}', True),
        (b'{"a":"\\n"}', False),
        (b'{"a":"b"}', False),
        (b"\xff\xfea\0", True),
    ],
)
def test_suspicious(data: bytes, expected: bool) -> None:
    assert suspicious(data) is expected


def test_fingerprints_are_known() -> None:
    assert is_fingerprint(MARK) and not is_fingerprint(MARK + "0") and not is_fingerprint("sha256:XYZ")


@pytest.mark.parametrize(
    "name",
    [
        "clientSecret",
        "client_secret",
        "accessToken",
        "access_token",
        "refreshToken",
        "apiKey",
        "api_key",
        "userPassword",
        "pwd",
        "secret",
        "token",
        *sorted(SECRET_MEMBERS),
        *sorted(SECRET_TEXTS),
    ],
)
def test_each_secret_name(name: str) -> None:
    for spelled in (name, name.upper(), f"urn:a:b:{name}"):
        body = f'{{"a":1,"{spelled}": "@"}}'
        assert suspicious(body.encode())
        assert edit(body.replace("@", SECRET)) == body.replace("@", MARK)
    assert SECRET not in edit(f'{{"path":"{name}","value":"{SECRET}"}}')
    assert SECRET not in edit(f"<a><{name}>{SECRET}</{name}></a>")
    assert suspicious(f"<a><{name}>".encode()) and suspicious(f"--b\r\nx; name={name}\r\n".encode())


@pytest.mark.parametrize(
    "body", ['{"token":{"type":"a"}}', '{"secret":5}', '{"pwd":true}', '{"tokens":"a"}', '{"token":["a"]}']
)
def test_members_that_are_credentials_as_texts_only(body: str) -> None:
    assert edit(body) == body


JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"a {JWT} b {JWT}", f"a {fingerprint(JWT)} b {fingerprint(JWT)}"),
        (f"x{JWT}.", f"x{fingerprint(JWT)}."),
        ("eyJhbGciOiJub25l.eyJzdWIi.", fingerprint("eyJhbGciOiJub25l.eyJzdWIi.")),
        ("eyJhbGciOiJub25l.a.b.c.d.e", fingerprint("eyJhbGciOiJub25l.a.b.c.d") + ".e"),
        ("eyJ eyJhbGciOiJub25l.only eyJhbGciOiJub25l..x", None),
        ("eyJ" * 100_000, None),
        ("nothing", None),
    ],
)
def test_json_web_tokens(text: str, expected: str | None) -> None:
    data = text.encode()
    found = without_jwts(data, Keep({}))
    assert found is data if expected is None else found == expected.encode()
    assert hints(data)[1] is ("eyJ" in text)


def test_half_a_token_at_the_end_of_a_cut_body() -> None:
    for end in (12, 30, 70):
        data = f'{{"a":"{JWT[:end]}'.encode()
        assert without_jwts(data, Keep({}), cut=True) == f'{{"a":"{fingerprint(JWT[:end])}'.encode()
    assert b"eyJ" not in edited(f'{{"a":"{JWT}"}}'.encode("utf-16-le"), Keep({})).replace(b"\0", b"")


def test_a_name_in_plain_bytes_behind_zeros() -> None:
    for begin in (b"\0\1", b"\0", b"\xff\xfe"):
        assert SECRET not in edit(begin + f'{{"password":"{SECRET}"}}'.encode())


def test_a_vague_word_and_a_sure_one() -> None:
    keep, other = Keep({}), Keep({})
    keep.vague("a")
    keep.vague("a")
    assert keep.words == {fingerprint("a")}
    other("a")
    keep.take(other)
    assert keep.words == set() and keep.found == {fingerprint("a"): "a"}
    keep.vague("a")
    assert keep.words == set()
    keep.take(Keep({"x": "y"}))
    assert keep.found == {fingerprint("a"): "a", "x": "y"} and keep.words == set()


_WORDS = ("token", "secret", "key", "pwd", "password", "passwd", "api_key", "accessToken", "Secret-Key", "pass_word")
_GLUE = (
    '"',
    "'",
    " ",
    "_",
    "-",
    ".",
    ":",
    "\\",
    "\\t",
    "{",
    "}",
    "[",
    "]",
    ",",
    "\u00a0",
    "\u2003",
    "\x1c",
    "é",
    "日",
)
_pieces = st.lists(
    st.one_of(st.sampled_from([*_WORDS, *(word.upper() for word in _WORDS)]), st.sampled_from([*_GLUE, "\n", "A"]))
).map("".join)


@given(
    st.one_of(
        _pieces,
        st.tuples(_pieces, _pieces).map(lambda pair: f'{{"{pair[0]}": "{pair[1]}"}}'),
        st.tuples(_pieces, _pieces).map(lambda pair: f'{{"op": "add", "path": "{pair[0]}", "value": "{pair[1]}"}}'),
        st.tuples(_pieces, _pieces).map(lambda pair: f"<{pair[0]}>{pair[1]}</x>"),
    ),
    st.sampled_from(["utf-8", "utf-16", "latin-1"]),
    st.booleans(),
)
def test_what_would_be_changed_is_hinted_at(text: str, codec: str, cut: bool) -> None:
    data = text.encode(codec, "replace")
    if edited(data, Keep({}), cut=cut) != data:
        assert suspicious(data, cut=cut)


@pytest.mark.parametrize(
    "body",
    [
        '{"secret ": "x"}',
        '{"pass_word": "x"}',
        '{"api_key\\t": "x"}',
        '{"apikey\u2003": "x"}',
        '{"op": "add", "path": "clientSecret.value", "value": "x"}',
        '{"op": "add", "path": "token [0]", "value": "x"}',
    ],
)
def test_names_that_end_in_blanks_or_go_on(body: str) -> None:
    assert suspicious(body.encode())
    assert edited(body.encode(), Keep({})) != body.encode()


@pytest.mark.parametrize("before", range(0, 90, 7))
def test_names_on_the_border_of_two_windows(before: int) -> None:
    at = secret_bodies._WINDOW - before
    assert suspicious(b'{"a": "' + b"x" * (at - 7) + b'", "token": "y"}')
    assert suspicious(b'{"a": "' + b"x" * (at - 7) + b'", "token' + b" " * 100 + b'": "y"}')
    assert not suspicious(b'{"a": "' + b"x" * (at - 7) + b'", "tok": "y"}')


# -- bodies of many pieces


@pytest.mark.parametrize("fill", [b"x", b"k", b"w", b"kw "], ids=repr)
@pytest.mark.parametrize(
    ("text", "named"),
    [
        (b'"PassWord"', True),
        (b'"pwd"', True),
        (b'"api_key_"', True),
        (b'"key":', True),
        (b'"refreshToken"', True),
        (b'"client_secret"', True),
        (b"\\u0070wd", True),
        (b"\\n \\U01", False),
        (b"token", False),
        (b"pass word ke y to ken", False),
    ],
)
def test_a_name_is_found_wherever_a_big_body_is_cut_in_pieces(fill: bytes, text: bytes, named: bool) -> None:
    for place in (0, 262_144 - 3, 300_000):
        data = (fill * 300_000)[:place] + text + (fill * 300_000)[:300_000]
        assert mentions(data) is named
        assert hints(data)[0] is named
        for cut in range(max(place, 5), place + len(text), 5):
            look = Look()
            for piece in (data[:5], data[5:cut], data[cut : cut + 1], data[cut + 1 :]):
                look.feed(piece)
            assert look.named or not named  # a name at the end of a piece may go on: then yes is the safe word


def test_bare_names_count_where_a_big_body_is_markup() -> None:
    for begin in (b"<a>", b"\xef\xbb\xbf  <a>", b"--x\r\n"):
        assert mentions(begin + b"x" * 300_000 + b"<token>")
        assert hints(begin + b"x" * 300_000 + b"<token>") == (True, False)
    assert not mentions(b"a<" + b"x" * 300_000 + b"<token>x")


def test_a_big_cut_body_may_be_an_operation() -> None:
    data = b'{"Operations": [' + b"x" * 300_000
    assert hints(data, cut=True) == (True, False)
    assert hints(data) == (False, False)
    assert hints(b"x" * 300_000 + b'"OP"', cut=True) == (True, False)


def test_a_look_is_remembered_as_long_as_it_lives_and_for_no_other_bytes() -> None:
    data = b'"password"' + b"x" * 300_000
    look = Look()
    look.remember(data)  # as if it had found nothing
    assert not mentions(data)
    assert mentions(bytes(bytearray(data)))
    del look
    assert mentions(data)
