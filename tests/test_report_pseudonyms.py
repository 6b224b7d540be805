"""Pseudonyms: stable, distinct, readable, found in any text."""

from __future__ import annotations

import base64

import pytest

from scimproxy.report.pseudonyms import Kind, Pseudonyms, fold, is_email, is_phone


def table(*values: tuple[Kind, str, int]) -> Pseudonyms:
    made = Pseudonyms()
    for kind, value, person in values:
        made.take(kind, value, person)
    made.close()
    return made


@pytest.mark.parametrize(
    ("text", "yes"),
    [("+1 555 876 5432", True), ("tel:+49-30-901820", True), ("(030) 9018 200", True), ("030/901 82 00", True),
     ("555-123-4567", True), ("2026-11-24", False), ("454115253", False), ("7f3e-11", False), ("+1 2", False)],
)  # fmt: skip
def test_telephone_numbers(text: str, yes: bool) -> None:
    assert is_phone(text) is yes


def test_emails_and_folding() -> None:
    assert is_email(" a.b+c@d.test ")
    assert not is_email("a@")
    assert fold("ÀΣς") == "àσσ"
    assert len(fold("İ")) == 1


def test_forms() -> None:
    names = table(
        ("display", "Zoe Quux", 1), ("display", "Zoe", 1), ("im", "zoe.im", 1), ("employee", "E-17-B", 1), ("employee", "70198", 1),
        ("middle", "Quentin", 1), ("ip", "127.0.0.1", 0), ("ip", "2a01::7", 0), ("ip", "198.18.7.7", 0), ("ip", "198.18.7.7", 0),
        ("phone", "  ", 1), ("user", "x y", 1),
    )  # fmt: skip
    assert [names.of(it) for it in ("Zoe Quux", "Zoe", "zoe.im", "E-17-B", "70198", "Quentin", "2a01::7", "198.18.7.7", "x y")] == [
        "User 1", "Name1", "im1", "E00001", "900001", "Middle1", "2001:db8::1", "203.0.113.2", "user1",
    ]  # fmt: skip
    assert names.of("127.0.0.1") == "127.0.0.1"
    assert names.counts == {"display": 2, "im": 1, "employee": 2, "middle": 1, "ip": 2, "user": 1}


def test_many_addresses_are_different() -> None:
    values: list[tuple[Kind, str, int]] = [("ip", f"198.18.{n // 250}.{n % 250 + 1}", 0) for n in range(800)]
    names = table(*values)
    assert len({names.of(value) for _, value, _ in values}) == 800


def test_a_pseudonym_is_nobodys_name() -> None:
    names = table(
        ("user", "user2", 1), ("user", "somebody", 2), ("email", "user3@example.com", 4), ("email", "zoe@q.test", 3)
    )
    made = [names.of(it) for it in ("user2", "somebody", "user3@example.com", "zoe@q.test")]
    assert len(set(made)) == 4
    assert "user2" not in made
    assert "user3@example.com" not in made


def test_where_values_are_found_and_where_not() -> None:
    names = table(("family", "Li", 1), ("employee", "70198", 2), ("given", "User", 3), ("ip", "198.18.7.7", 0), ("given", "A", 4),
                  ("display", "Quorlax Fim", 5))  # fmt: skip
    assert names.text("Li, LI and li are; Lisa is not") == "Family1, FAMILY1 and family1 are; Lisa is not"
    assert (
        names.text("number 70198, not 170198 nor 701981 nor :70198")
        == "number 900002, not 170198 nor 701981 nor :70198"
    )
    assert (
        names.text("from 198.18.7.7, not 1198.18.7.7 nor 8.198.18.7.7")
        == "from 203.0.113.1, not 1198.18.7.7 nor 8.198.18.7.7"
    )
    assert names.text("User A") == "User A"
    assert (names.of("User"), names.of("A")) == ("Given3", "Given4")
    assert names.text("q=Quorlax+Fim&x=quorlax%20fim") == "q=User+5&x=user%205"
    assert names.text("Quorlax alone") == "Word5 alone"
    assert names.of("not known Quorlax") == "not known Word5"
    coded = base64.b64encode(b"user:quorlax:pass").decode()
    assert names.text(f"cursor {coded} and {'QUJDREVGR0hJSktM'}") == "cursor left-out and QUJDREVGR0hJSktM"
    assert names.text("AAAAAAAAAAAAA=B") == "AAAAAAAAAAAAA=B"
    assert Pseudonyms().text("anything") == "anything"
    assert names.text("") == ""


def test_persons_and_groups_are_known_by_what_is_theirs() -> None:
    names = Pseudonyms()
    assert [names.person(it) for it in (["id:1", "Zoe"], ["ZOE "], ["", "id:2"], ["id:1", "id:2"])] == [1, 1, 2, 1]
    assert names.group(["id:1"]) == 1
    names.take_emails("no at")
    names.take_emails("a%40b.test is zz@q.test")
    names.close()
    assert names.of("a@b.test") == "user4@example.com"
