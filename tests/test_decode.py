from __future__ import annotations

import gzip
import zlib
from dataclasses import replace

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from scimproxy import decode as module
from scimproxy.decode import charset_of, codings, decode, text, text_of
from scimproxy.exchange import Content, Headers

BODY = b'{"userName": "bjensen"} ' * 500
BOMB = 40_000_000


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


ENCODERS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


def coded(*names: str) -> Headers:
    return Headers([("Content-Encoding", name) for name in names])


@pytest.mark.parametrize("name", ENCODERS)
def test_undoes_each_coding(name: str) -> None:
    found = decode(Content.of(ENCODERS[name](BODY)), coded(name.upper()))
    assert (found.data, found.encoding, found.problem) == (BODY, name, None)


def test_raw_deflate_is_understood() -> None:
    assert decode(Content.of(raw_deflate(BODY)), coded("deflate")).data == BODY


def test_several_codings_are_undone_from_the_last() -> None:
    data = brotli.compress(gzip.compress(BODY))
    assert decode(Content.of(data), coded("gzip, br")).data == BODY
    assert decode(Content.of(data), coded("gzip", "identity", "br")).encoding == "gzip, br"
    assert codings(coded(" gzip ,, identity")) == ("gzip",)


def test_no_coding_leaves_the_bytes() -> None:
    assert decode(Content.of(BODY), Headers()) == module.Decoded(BODY)
    cut = decode(Content.of(BODY), Headers(), limit=10)
    assert cut.data == BODY[:10] and "longer than 10 bytes" in (cut.problem or "")


def test_nothing_to_decode_in_an_empty_or_redacted_content() -> None:
    assert decode(Content.of(b""), coded("gzip")) == module.Decoded(b"", "gzip")
    assert decode(replace(Content.of(b"{}"), redacted=True), coded("gzip")) == module.Decoded(b"{}", "gzip")


@pytest.mark.parametrize("name", ENCODERS)
def test_a_bomb_ends_at_the_limit(name: str) -> None:
    found = decode(Content.of(ENCODERS[name](b"\0" * BOMB)), coded(name), limit=1_000_000)
    assert found.data == b"\0" * 1_000_000
    assert "more than 1000000 bytes" in (found.problem or "")


@pytest.mark.parametrize("name", ENCODERS)
def test_exactly_the_limit_is_whole(name: str) -> None:
    assert decode(Content.of(ENCODERS[name](BODY)), coded(name), limit=len(BODY)).problem is None


@pytest.mark.parametrize("name", ENCODERS)
def test_cut_data_gives_what_there_is(name: str) -> None:
    noise = b"".join(zlib.crc32(str(n).encode()).to_bytes(4, "big") for n in range(100_000))
    whole = ENCODERS[name](noise)
    found = decode(Content.of(whole[:-20]), coded(name))
    assert found.problem == f"{name} content ends too early"
    assert len(found.data) > 200_000 and noise.startswith(found.data)
    recorded = replace(Content.of(whole[:-20]), size=len(whole))
    assert decode(recorded, coded(name)).problem == f"{name} content is cut in the recording"


@pytest.mark.parametrize("name", ENCODERS)
def test_damaged_data_says_so(name: str) -> None:
    found = decode(Content.of(b"this was never compressed"), coded(name))
    assert found.problem is not None and found.problem.startswith(f"{name} content ")


def test_damage_in_the_middle_keeps_the_beginning() -> None:
    noise = b"".join(zlib.crc32(str(n).encode()).to_bytes(4, "big") for n in range(100_000))
    packed = bytearray(zlib.compress(noise))
    packed[-1] ^= 255  # the checksum
    found = decode(Content.of(bytes(packed)), coded("deflate"))
    assert noise.startswith(found.data) and found.data and "damaged" in (found.problem or "")


@pytest.mark.parametrize("name", ENCODERS)
def test_readable_text_under_a_wrong_header_is_shown(name: str) -> None:
    found = decode(Content.of(b' {"a": 1}'), coded(name))
    assert found.data == b' {"a": 1}' and "shown as it came" in (found.problem or "")
    assert decode(Content.of(b"{\xff"), coded("gzip")).data == b""


def test_members_and_frames_follow_each_other() -> None:
    assert decode(Content.of(gzip.compress(b"a") + gzip.compress(b"b") + b"\0\0"), coded("gzip")).data == b"ab"
    zstd = ENCODERS["zstd"]
    assert decode(Content.of(zstd(b"a") + zstd(b"b")), coded("zstd")).data == b"ab"


def test_endless_members_end() -> None:
    assert "members" in (decode(Content.of(gzip.compress(b"") * 1500), coded("gzip")).problem or "")
    assert "frames" in (decode(Content.of(ENCODERS["zstd"](b"") * 1500), coded("zstd")).problem or "")


def test_bytes_after_the_end_are_told() -> None:
    assert decode(Content.of(gzip.compress(b"a") + b"xyz"), coded("gzip")).problem == (
        "gzip content is followed by 3 bytes that are something else"
    )
    assert "3 bytes" in (decode(Content.of(zlib.compress(b"a") + b"xyz"), coded("deflate")).problem or "")


def test_unknown_or_too_many_codings() -> None:
    found = decode(Content.of(b"abc"), coded("compress"))
    assert found.data == b"abc" and found.problem == "content coding 'compress' is not known"
    assert "9 codings" in (decode(Content.of(b"abc"), coded(*["gzip"] * 9)).problem or "")


@given(st.binary(max_size=300), st.lists(st.sampled_from([*ENCODERS, "odd"]), max_size=3), st.integers(0, 200))
@settings(max_examples=150)
def test_never_raises_and_never_grows(data: bytes, names: list[str], limit: int) -> None:
    assert len(decode(Content.of(data), coded(*names), limit=limit).data) <= limit


def test_charset_is_read_from_the_media_type() -> None:
    assert charset_of(Headers([("Content-Type", 'a/b; x=1; Charset="UTF-8"')])) == "utf-8"
    assert charset_of(Headers([("Content-Type", "a/b; charset=")])) is None
    assert charset_of(Headers()) is None


@pytest.mark.parametrize(
    ("data", "charset", "expected", "used", "problem"),
    [
        ("é".encode(), None, "é", "utf-8", None),
        (b"\xef\xbb\xbfa", "latin-1", "a", "utf-8", None),
        ("aé".encode("utf-16"), None, "aé", "utf-16-le", None),
        ("aé".encode("utf-32"), None, "aé", "utf-32-le", None),
        (b"\xe9", "iso-8859-1", "é", "iso8859-1", None),
        (b"\x80", "windows-1252", "€", "cp1252", None),
        (b"a\xff", None, "a\ufffd", "utf-8", "byte 1 is not valid utf-8"),
        (b"a", "klingon", "a", "utf-8", "charset 'klingon' is not known; read as utf-8"),
        (b"a\xff", "rot13", "a\ufffd", "utf-8", "byte 1 is not valid utf-8"),
        (b"a", "\0", "a", "utf-8", "charset '\\x00' is not known; read as utf-8"),
    ],
)
def test_text_of(data: bytes, charset: str | None, expected: str, used: str, problem: str | None) -> None:
    found = text_of(data, charset)
    assert (found.text, found.charset, found.problem) == (expected, used, problem)


def test_text_is_none_for_what_is_not_text() -> None:
    assert text(Content.of(gzip.compress("né".encode())), coded("gzip")) == "né"
    assert text(Content.of(b"\x89PNG\xff\x00"), Headers()) is None
    assert text(Content.of("né".encode()), Headers(), limit=2) == "n\ufffd"
