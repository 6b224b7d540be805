"""The look: whole, closed to the network, escaped."""

from __future__ import annotations

import base64
import hashlib
import re

from factories import exchange

from scimproxy.detail import detail
from scimproxy.pages import environment, file_page, file_policy, script, style, visible

DARK_AND_LIGHT = re.compile(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)")


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_texts_have_the_contrast_of_aa_in_light_and_dark() -> None:
    colours = {name: (light, dark) for name, light, dark in DARK_AND_LIGHT.findall(style())}
    texts = ["fg", "dim", "accent", "pass", "warn", "fail", "error", "key", "string", "number", "word"]
    pairs = [(text, ground) for text in texts for ground in ("bg", "soft", "raised")]
    pairs += [(name, f"{name}-soft") for name in ("pass", "warn", "fail", "error", "accent")]
    pairs += [("fg", f"{name}-soft") for name in ("warn", "fail", "accent")] + [("on-accent", "accent")]
    pairs += [(name, "accent-soft") for name in ("key", "string", "number", "word")]
    for text, ground in pairs:
        for theme in (0, 1):
            found = contrast(colours[text][theme], colours[ground][theme])
            assert found >= 4.5, f"{text} on {ground}: {found:.2f} in {['light', 'dark'][theme]}"


def test_the_stylesheet_loads_nothing_and_every_colour_is_named_once() -> None:
    assert "url(" not in style()
    assert "@import" not in style()
    assert "</" not in style()
    first, _, rest = style().partition("}")
    assert not re.search(r"#[0-9a-f]{3,8}\b(?![^{]*\{)", rest)
    used = set(re.findall(r"var\(--([\w-]+)\)", style()))
    assert used <= set(re.findall(r"--([\w-]+):", first))


def test_the_policy_names_what_stands_in_the_page_by_hash() -> None:
    found = file_policy(with_script=True)
    for text in (style(), script()):
        assert f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in found
    assert found.startswith("default-src 'none'")
    assert "script-src" not in file_policy()
    assert "unsafe" not in found


def test_a_page_that_stands_alone_and_a_live_one() -> None:
    alone = file_page("base.html")
    assert style() in alone
    assert "<script" not in alone
    assert "<script>" in file_page("base.html", with_script=True)
    live = environment().get_template("base.html").render(live=True, assets="/static")
    assert '<link rel="stylesheet" href="/static/look.css">' in live
    assert not re.search("<style|<script|http-equiv", live)


def test_what_hides_or_reorders_is_seen() -> None:
    assert visible("a\x00\u202e\ud800b\n\t") == "a\ufffd\ufffd\ufffdb\n\t"
    assert visible(3) == 3


def test_an_exchange_is_text_and_never_markup() -> None:
    evil = "</pre></script><script>alert(1)</script>\"'\u202e"
    one = exchange(
        "POST", f"/scim/v2/Users?filter={evil}", body={evil: evil}, answer=evil, note=evil, tags=(evil,), client=evil
    )
    module = environment().get_template("exchange.html").module
    found = detail(one)
    text = module.exchange_head(found) + module.exchange_tabs(found, "x1")  # type: ignore[attr-defined]  # macros
    assert "<script" not in text
    assert "style=" not in text
    assert "\u202e" not in text
    assert "Raw" not in module.exchange_tabs(found, "x1", with_raw=False)  # type: ignore[attr-defined]
