"""The types of exchange.py as plain JSON and back, checked: for files that must lose nothing.

One rule: `typed(T, plain(value), ...)` equals `value`, and what is read from a file either fits its type or is
refused with a FormatError that names the place. Bytes are base64, headers are lists of pairs. Pure; used by har.py.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import types
import typing
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin

from scimproxy.errors import FormatError
from scimproxy.exchange import Headers

__all__ = ["from_base64", "members", "plain", "typed"]


def plain(value: object) -> Any:  # noqa: ANN401 - JSON is anything
    """Return a value of exchange.py as JSON; members of dataclasses that hold their default stay out."""
    if isinstance(value, Headers):
        return [list(pair) for pair in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, tuple):
        return [plain(one) for one in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if getattr(value, field.name) != _default(field)
        }
    return value


def _default(field: dataclasses.Field[Any]) -> object:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def typed[T](kind: type[T], value: object, place: str) -> T:
    """Return JSON as the type that it stands for.

    Raises:
        FormatError: it does not fit; the message begins with `place`.
    """
    return typing.cast("T", _read(kind, value, place))


def members(kind: type, value: object, place: str) -> dict[str, Any]:
    """Return the members of a JSON object that are fields of a dataclass, each in its type; others are refused."""
    if not isinstance(value, dict):
        raise FormatError(f"{place}: not an object")
    hints = _hints(kind)
    for name in value:
        if name not in hints:
            raise FormatError(f"{place}.{name}: not known", hint="was the file written by a newer scimproxy?")
    return {name: _read(hints[name], inner, f"{place}.{name}") for name, inner in value.items()}


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _read(kind: Any, value: object, place: str) -> object:  # noqa: ANN401 - a type expression
    origin = get_origin(kind)
    if origin in {Union, types.UnionType}:
        inner = next(one for one in get_args(kind) if one is not types.NoneType)
        return None if value is None else _read(inner, value, place)
    if origin is Literal:
        if value not in get_args(kind):
            raise FormatError(f"{place}: {_shown(value)} is none of {', '.join(map(str, get_args(kind)))}")
        return value
    if origin is tuple:
        return _tuple(get_args(kind), value, place)
    if kind is Headers:
        return Headers(_tuple((tuple[str, str], ...), value, place))
    if dataclasses.is_dataclass(kind):
        found = members(typing.cast("type", kind), value, place)
        for field in dataclasses.fields(kind):
            if field.name not in found and _default(field) is dataclasses.MISSING:
                raise FormatError(f"{place}.{field.name}: missing")
        return typing.cast("type", kind)(**found)
    return _scalar(kind, value, place)


def _tuple(inner: tuple[Any, ...], value: object, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise FormatError(f"{place}: not a list")
    if inner[-1] is Ellipsis:
        return tuple(_read(inner[0], one, f"{place}[{at}]") for at, one in enumerate(value))
    if len(value) != len(inner):
        raise FormatError(f"{place}: {len(value)} values, not {len(inner)}")
    return tuple(_read(kind, one, f"{place}[{at}]") for at, (kind, one) in enumerate(zip(inner, value, strict=True)))


_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def _scalar(kind: type, value: object, place: str) -> object:
    if kind is bytes:
        return from_base64(value, place)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value) if abs(value) < 2**53 else _refuse(kind, value, place)
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    return _refuse(kind, value, place)


def _refuse(kind: type, value: object, place: str) -> typing.NoReturn:
    raise FormatError(f"{place}: {_shown(value)} is not {_WORDS[kind]}")


def from_base64(value: object, place: str) -> bytes:
    """Return the bytes of a base64 text; raises FormatError where it is none."""
    if not isinstance(value, str):
        raise FormatError(f"{place}: {_shown(value)} is not a text")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise FormatError(f"{place}: not base64 ({exc})") from exc


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = ascii(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
