from __future__ import annotations

import pytest

from scimproxy.diff.judging import Change, judge


@pytest.mark.parametrize(
    ("change", "place", "verdict"),
    [
        ("failure", "response failure", "breaking"),
        ("status", "response status", "breaking"),
        ("value", "response http_version", "changed"),
        ("value", "response", "changed"),
        ("added", "response byte_order_mark", "changed"),
        ("missing", "response body", "breaking"),
        ("added", "response body", "additive"),
        ("body", "response body", "breaking"),
        ("error", "response body", "changed"),
        ("missing", "response body title", "breaking"),
        ("added", "response body title", "additive"),
        ("type", "response body active", "breaking"),
        ("value", "response body title", "changed"),
        ("form", "response body meta created", "changed"),
        ("order", "response body emails", "noise"),
        ("case", "response body resources", "noise"),
        ("empty", "response body members", "noise"),
        ("other", "response body id", "breaking"),
        ("added", "response body password", "breaking"),
        ("missing", "response body resources", "breaking"),
        ("added", "response body resources", "changed"),
        ("order", "response body resources", "changed"),
        ("value", "response body resources", "changed"),
        ("form", "response body meta location", "breaking"),
        ("other", "response body members $ref", "breaking"),
        ("missing", "response body meta location", "breaking"),
        ("added", "response body meta location", "additive"),
        ("status", "response body x", "breaking"),
        ("missing", "response headers location", "breaking"),
        ("form", "response headers location", "breaking"),
        ("missing", "response headers x-other", "changed"),
        ("added", "response headers x-other", "additive"),
        ("value", "response headers x-other", "changed"),
        ("value", "response headers content-type", "changed"),
        ("body", "response headers content-type", "breaking"),
        ("value", "request method", "changed"),
        ("missing", "request body title", "changed"),
        ("order", "request body emails", "noise"),
        ("status", "request body x", "changed"),
    ],
)
def test_verdicts(change: Change, place: str, verdict: str) -> None:
    found, reason = judge(change, tuple(place.split()))
    assert (found, bool(reason)) == (verdict, True)


def test_a_location_that_nobody_follows() -> None:
    place = ("response", "headers", "location")
    assert judge("missing", place, leads=False) == ("changed", "the header is gone")
    assert judge("form", place, leads=False)[0] == "breaking"
