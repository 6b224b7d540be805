"""Our filter and path parsers against two that we did not write: scim2-models and scim2-filter-parser.

5,000 expressions, made from a fixed seed, half of them damaged. Each is accepted or refused by all, read as the same
tree by all, and (where it is a filter on users) decided alike by scim2-models. Where somebody differs, a row of
DISAGREEMENTS says who, and why we are right; a difference without a row fails, and so does a row without a difference.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest

from scimproxy.errors import SyntaxProblem
from scimproxy.scim.filters import (
    And,
    Comparison,
    Filter,
    FilterSyntaxError,
    Not,
    Or,
    Present,
    ValuePath,
    check_filter,
    matches,
    parse_filter,
)
from scimproxy.scim.paths import PatchPath, parse_path
from scimproxy.scim.schemas import BY_ID, ENTERPRISE_USER, USER
from scimproxy.scim.syntax import OPERATORS

models = pytest.importorskip("scim2_models", reason="the peers are not installed")
pytest.importorskip("scim2_filter_parser", reason="the peers are not installed")

SEED = 7644
CORE, ENTERPRISE = USER.id, ENTERPRISE_USER.id


@dataclass(frozen=True)
class Row:
    """A disagreement: `what` happens, where `when` is found in our error (they accept) or in the text (all else)."""

    oracle: str
    what: str
    when: str
    why: str


PARSER = "scim2-filter-parser"
MODELS = "scim2-models"
ACCEPTS, REFUSES, READS, DECIDES = "accepts", "refuses", "reads otherwise", "decides otherwise"
TYPES = "refuses the types"

SPACES = "RFC 7644 figure 1 names SP, one space: no tab, none left out, none before a square bracket or a dot"

DISAGREEMENTS: tuple[Row, ...] = (
    # ---- what is a filter
    Row(MODELS, ACCEPTS, r"found '\\t'|^Expected a space|^No space|found ' '$", SPACES),
    Row(PARSER, ACCEPTS, r"found '\\t'|^Expected a space|^No space", SPACES),
    Row(
        MODELS,
        ACCEPTS,
        "in small letters",
        "compValue has JSON's rules (figure 1), whose literals are small (RFC 8259 section 3)",
    ),
    Row(
        MODELS,
        ACCEPTS,
        "^The path is empty",
        "PATH has at least a name (section 3.5.2 figure 7); they mean the resource by it",
    ),
    Row(
        PARSER, ACCEPTS, "escape of JSON", "a string has JSON's rules (figure 1): only its escapes follow a backslash"
    ),
    Row(
        PARSER,
        ACCEPTS,
        "write it as a JSON escape",
        "a string has JSON's rules (figure 1): control characters are escaped",
    ),
    Row(PARSER, ACCEPTS, "no closing quote", r"the quote in \" does not end a string (RFC 8259 section 7)"),
    Row(
        PARSER,
        ACCEPTS,
        "not a sub-attribute",
        "the parts of a part do not exist, so there is nothing to choose (RFC 7643 section 2.3.8)",
    ),
    Row(
        PARSER,
        REFUSES,
        r" (-|[0-9][0-9.e])",
        "numbers have JSON's rules (figure 1): signs, fractions, more than one digit",
    ),
    Row(PARSER, REFUSES, r'\\"', r"a string may hold \" (RFC 8259 section 7)"),
    Row(
        PARSER,
        REFUSES,
        r"(?i)[a-z]:[^ ]*[$][^ ]*:|(^|[ (])[a-z]+-[a-z]*:",
        "a schema is named by any URI (attrPath of figure 1), not by letters, digits, dots and _ alone",
    ),
    Row(
        MODELS,
        REFUSES,
        r"(?i)[a-z0-9]:[-_.$:]|:[^ ]*[$][^ ]*:|(^|[ ([])(?!urn:)[a-z][a-z0-9.+-]*:[^ ]*:",
        "a schema is named by any URI (attrPath of figure 1), not by a urn: of letters, digits, dots, - and _ alone",
    ),
    Row(PARSER, REFUSES, r"\bpr\.", "pr is a word like any other where a name stands (ATTRNAME of figure 1)"),
    # ---- how it is read
    Row(
        PARSER,
        READS,
        r"(?i)\bor\b.*\band\b",
        "and binds more tightly than or (section 3.4.2.2); they go from left to right",
    ),
    Row(PARSER, READS, "::", "the URI ends at the last colon (attrPath of figure 1), whatever it ends with"),
    Row(
        PARSER,
        READS,
        r"\\[\\bfnrtu/]",
        "escapes stand for characters (RFC 8259 section 7); they keep them as they are written",
    ),
    # ---- what it says about a user
    Row(
        MODELS,
        TYPES,
        "^value .* is not valid",
        "a value of another type equals nothing; only an order of booleans or binaries is an error (table 3)",
    ),
    Row(
        MODELS,
        TYPES,
        "^operator '[cse][ow]|^operator 'ew'",
        "only gt, ge, lt and le on booleans and binaries are errors (table 3)",
    ),
    Row(
        MODELS,
        DECIDES,
        "(?i)created +(co|sw|ew) ",
        "a dateTime is text in JSON (RFC 7643 section 2.3.5); co, sw and ew look at it as it is",
    ),
    Row(
        MODELS,
        DECIDES,
        "(?i)created +[a-z]+ +[0-9]",
        "a dateTime is text (RFC 7643 section 2.3.5) and has no order with a number; they read Unix time",
    ),
    Row(
        MODELS,
        DECIDES,
        "(?i)(active|primary) +[a-z]+ +[0-9]",
        "a boolean is true or false (RFC 7643 section 2.3.2); they read 0 as false",
    ),
    Row(
        MODELS,
        DECIDES,
        r"(?i)emails\S* +ne ",
        "of a list one matching value is enough, for ne as for any operator (section 3.4.2.2)",
    ),
)


# -- expressions --------------------------------------------------------------------------------------------


class Maker:
    """Makes filters and paths, right ones and damaged ones, from a seed."""

    names = ("userName", "title", "nickName", "name.familyName", "NAME.givenName", "active", "externalId", "meta.created",
             "emails", "emails.type", "emails.value", "phoneNumbers.value", "emails.primary", f"{CORE}:userName",
             f"{ENTERPRISE}:department", f"{ENTERPRISE}:manager.value", "members", "unknown", "never", "android",
             "id", "displayName", "groups.$ref")  # fmt: skip  # a list
    lists = ("emails", "phoneNumbers", "Emails", f"{CORE}:emails", "addresses")
    subs = ("type", "value", "primary", "display", "TYPE")
    texts = ("", "bjensen", "BJensen", "jensen", "Jen", "work", "home", "a@x.example", "@X", "sales", "9", "tr ue", "é",
             "O'Malley", "(a and b)", "[x]")  # fmt: skip  # a list
    times = ("2026-01-31T08:00:00Z", "2026-01-31T09:00:00+01:00", "2026-01-31T09:00:00+02:00", "2027-01-01T00:00:00Z")

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def one(self, *choices: Any) -> Any:
        return self.random.choice(choices)

    def case(self, word: str) -> str:
        return self.one(word, word, word, word.upper(), word.title())

    def space(self) -> str:
        return self.one(*[" "] * 9, "  ")

    def value(self, name: str) -> str:
        """A value, mostly of the type that the attribute has."""
        if self.random.random() < 0.15:
            odd = (
                r'"a\"b"',
                r'"\\"',
                r'"\u00e9"',
                r'"\n"',
                "17",
                "-3",
                "1.5",
                "0",
                "2e3",
                "7",
                "null",
                "true",
                "True",
                "NULL",
            )
            return self.one(*odd)
        if name.lower().endswith(("active", "primary")):
            return self.one("true", "false")
        if name.endswith("created"):
            return f'"{self.one(*self.times)}"'
        return f'"{self.one(*self.texts)}"'

    def condition(self, name: str) -> str:
        if self.random.random() < 0.2:
            return f"{name}{self.space()}{self.case('pr')}"
        flag = name.lower().endswith(("active", "primary")) and self.random.random() < 0.9
        op = self.case(self.one("eq", "ne") if flag else self.one(*OPERATORS))
        return f"{name}{self.space()}{op}{self.space()}{self.value(name)}"

    def filter(self, depth: int = 3, *, inside: bool = False) -> str:
        roll = self.random.random()
        if depth == 0 or roll < 0.4:
            return self.condition(self.one(*(self.subs if inside else self.names)))
        if roll < 0.65:
            word = self.case(self.one("and", "or"))
            return (f"{self.filter(depth - 1, inside=inside)}{self.space()}{word}{self.space()}"
                    f"{self.filter(depth - 1, inside=inside)}")  # fmt: skip  # one text
        if roll < 0.75:
            return f"({self.filter(depth - 1, inside=inside)})"
        if roll < 0.85 or inside:
            return f"{self.case('not')}{self.one('', ' ')}({self.filter(depth - 1, inside=inside)})"
        chosen = f"{self.one(*self.lists)}[{self.filter(depth - 2 if depth > 1 else 0, inside=True)}]"
        return self.one(chosen, self.condition(f"{chosen}.{self.one('value', 'type', 'display')}"))

    def path(self) -> str:
        if self.random.random() < 0.4:
            return str(self.one(*self.names, ENTERPRISE))
        chosen = f"{self.one(*self.lists)}[{self.filter(1, inside=True)}]"
        return f"{chosen}{self.one('', '.value', '.type', '.$ref')}"

    def damaged(self, text: str) -> str:
        for _ in range(self.one(1, 1, 2)):
            at = self.random.randrange(len(text) + 1)
            end = min(len(text), at + self.one(1, 1, 2, 5))
            piece = self.one("", "", " ", '"', "'", "(", ")", "[", "]", ".", ":", "\\", "=", "==", "eq", " and ", "not ",
                             "True", "1", "\t", "x", "-", "$", "_", "é", ",")  # fmt: skip  # a list
            text = text[:at] + piece + text[self.one(at, end) :]
        return text


def made() -> tuple[list[str], list[str]]:
    maker = Maker(SEED)
    filters = [maker.filter() for _ in range(2000)]
    filters += [maker.damaged(maker.filter(2)) for _ in range(2000)]
    paths = [maker.path() for _ in range(500)]
    paths += [maker.damaged(maker.path()) for _ in range(500)]
    return filters, paths


FILTERS, PATHS = made()


# -- trees as plain tuples, so that all can be compared -----------------------------------------------------


def ours(tree: Filter) -> Any:
    match tree:
        case Comparison(path, op, value):
            return (str(path), op, repr(value))
        case Present(path):
            return (str(path), "pr")
        case Not(inner):
            return ("not", ours(inner))
        case And(terms):
            return ("and", *map(ours, terms))
        case Or(terms):
            return ("or", *map(ours, terms))
        case ValuePath(path, inner, None):
            return ("list", str(path), ours(inner))
        case ValuePath(path, inner, rest):
            terms = inner.terms if isinstance(inner, And) else (inner,)
            return ("list", str(path), ours(And((*terms, rest))))


def of_models(node: Any) -> Any:
    kind = type(node).__name__
    if kind == "Comparison":
        return (str(node.attr_path), node.op.value, repr(node.value))
    if kind == "Present":
        return (str(node.attr_path), "pr")
    if kind == "Not":
        return ("not", of_models(node.expr))
    if kind == "LogicalExpr":
        return (node.op.value, *map(of_models, node.terms))
    assert kind == "ValuePath"
    return ("list", str(node.attr_path), of_models(node.val_filter))


def paired(tree: Filter) -> Any:
    """Our tree in the shape of scim2-filter-parser: two by two from the left, values as text."""
    match tree:
        case Comparison(path, op, value):
            return (str(path), op, value if isinstance(value, str) else json.dumps(value))
        case Present(path):
            return (str(path), "pr")
        case Not(inner):
            return ("not", paired(inner))
        case And(terms) | Or(terms):
            word = "and" if isinstance(tree, And) else "or"
            left, *rest = map(paired, terms)
            for right in rest:
                left = (word, left, right)
            return left
        case ValuePath(path, inner, None):
            return ("list", str(path), paired(inner))
        case ValuePath(path, inner, rest):
            assert rest is not None
            return (f"{path}.{rest.path}", paired(inner), *paired(rest)[1:])


def of_parser(node: Any) -> Any:
    kind = type(node).__name__
    if kind == "Filter":
        inner = of_parser(node.expr)
        if node.namespace:
            inner = ("list", of_parser(node.namespace), inner)
        return ("not", inner) if node.negated else inner
    if kind == "LogExpr":
        return (node.op.lower(), of_parser(node.expr1), of_parser(node.expr2))
    if kind == "AttrExpr":
        path = of_parser(node.attr_path)
        head = (f"{path[1]}", path[2]) if isinstance(path, tuple) else (path,)
        return (
            (*head, node.value.lower())
            if node.comp_value is None
            else (*head, node.value.lower(), node.comp_value.value)
        )
    assert kind == "AttrPath", kind
    if not isinstance(node.attr_name, str):
        return of_parser(node.attr_name)
    uri = f"{node.uri}:" if node.uri else ""
    return f"{uri}{node.attr_name}" + (f".{node.sub_attr.value}" if node.sub_attr else "")


def ask_models(text: str, *, path: bool = False) -> Any:
    try:
        return (models.Path if path else models.ScimFilter)(text)
    except models.SCIMException:
        return None


def ask_parser(text: str) -> Any:
    from scim2_filter_parser.lexer import SCIMLexer
    from scim2_filter_parser.parser import SCIMParser, SCIMParserError

    try:
        return SCIMParser().parse(SCIMLexer().tokenize(text))
    except (SCIMParserError, ValueError):
        return None


# -- the comparison -----------------------------------------------------------------------------------------


class Ledger:
    """Looks every disagreement up in the table and keeps what is not in it."""

    def __init__(self) -> None:
        self.used: Counter[Row] = Counter()
        self.unexplained: list[tuple[str, str, str, str]] = []
        self.agreed: Counter[str] = Counter()

    def disagree(self, oracle: str, what: str, text: str, subject: str | None = None) -> None:
        for row in DISAGREEMENTS:
            if (row.oracle, row.what) == (oracle, what) and re.search(row.when, text if subject is None else subject):
                self.used[row] += 1
                return
        self.unexplained.append((oracle, what, text, subject or ""))

    def compare(self, oracle: str, text: str, own: Any, problem: str, theirs: Any) -> None:
        """Compare two trees, None standing for refused."""
        if own is None and theirs is not None:
            self.disagree(oracle, ACCEPTS, text, problem)
        elif own is not None and theirs is None:
            self.disagree(oracle, REFUSES, text)
        elif own != theirs:
            self.disagree(oracle, READS, text)
        else:
            self.agreed["refused" if own is None else "accepted"] += 1


def read(text: str, *, path: bool = False) -> tuple[Any, str]:
    try:
        return (parse_path if path else parse_filter)(text), ""
    except SyntaxProblem as problem:
        return None, problem.message


USERS: tuple[dict[str, Any], ...] = (
    {
        "schemas": [CORE, ENTERPRISE],
        "id": "9",
        "externalId": "Jen",
        "userName": "BJensen",
        "name": {"familyName": "Jensen"},
        "active": True,
        "title": "é",
        "emails": [
            {"value": "a@x.example", "type": "work", "primary": True},
            {"value": "BJENSEN@x.example", "type": "home"},
        ],
        "phoneNumbers": [{"value": "9"}],
        "addresses": [{"type": "work"}],
        "meta": {"created": "2026-01-31T08:00:00Z", "resourceType": "User"},
        ENTERPRISE: {"department": "Sales", "manager": {"value": "9"}},
    },
    {"schemas": [CORE], "userName": "work", "active": False, "nickName": "", "displayName": "sales"},
    {
        "schemas": [CORE],
        "userName": "@x",
        "emails": [{"value": "jensen@x.example", "type": "work"}, {"value": "b@x.example"}],
    },
)


def compare_decisions(ledger: Ledger, text: str, tree: Filter) -> None:
    """Compare what a filter says about each user; a filter that cannot be compared is refused by both or by one."""
    user = models.User[models.EnterpriseUser]
    try:
        check_filter(tree)
        problem = ""
    except FilterSyntaxError as fault:
        problem = fault.message
    try:
        theirs = models.ScimFilter[user](text)
    except models.SCIMException as fault:
        if not problem:
            ledger.disagree(MODELS, TYPES, text, str(fault))
        return
    if problem:
        ledger.disagree(MODELS, ACCEPTS, text, problem)
        return
    for resource in USERS:
        own, other = matches(tree, resource), theirs.match(user.model_validate(resource))
        if own is other:
            ledger.agreed["decided"] += 1
        else:
            ledger.disagree(MODELS, DECIDES, text)


def all_compared() -> Ledger:
    ledger = Ledger()
    for text in FILTERS:
        tree, problem = read(text)
        theirs = ask_models(text)
        ledger.compare(MODELS, text, tree and ours(tree), problem, theirs and of_models(theirs.ast))
        if tree and theirs:
            compare_decisions(ledger, text, tree)
        parsed = ask_parser(text)
        ledger.compare(PARSER, text, tree and paired(tree), problem, parsed and of_parser(parsed))
    for text in PATHS:
        path, problem = read(text, path=True)
        theirs = ask_models(text, path=True)
        shown = theirs and as_path(theirs.ast)
        ledger.compare(MODELS, text, path and of_path(path), problem, shown)
    return ledger


def of_path(path: PatchPath) -> Any:
    return (str(path.path), path.filter and ours(path.filter), path.sub)


def as_path(node: Any) -> Any:
    kind = type(node).__name__
    if kind == "AttrPath":
        return (str(node), None, None)
    if kind == "ValuePath":
        return (str(node.attr_path), of_models(node.val_filter), node.sub_attr)
    return of_models(node) if node is not None else ("", None, None)


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    return all_compared()


def test_every_disagreement_is_argued(ledger: Ledger) -> None:
    shown = [f"{oracle} {what}: {text!r} {subject}" for oracle, what, text, subject in ledger.unexplained[:30]]
    assert not ledger.unexplained, f"{len(ledger.unexplained)} without a row:\n" + "\n".join(shown)


def test_every_row_is_needed(ledger: Ledger) -> None:
    assert [row for row in DISAGREEMENTS if not ledger.used[row]] == []


def test_the_expressions_are_many_and_of_all_kinds(ledger: Ledger) -> None:
    assert len(FILTERS) + len(PATHS) == 5000
    assert ledger.agreed["accepted"] > 2500, ledger.agreed
    assert ledger.agreed["refused"] > 2000, ledger.agreed
    assert ledger.agreed["decided"] > 2000, ledger.agreed


# -- the schemas --------------------------------------------------------------------------------------------

PAGINATION = "RFC 9865, a later extension that we do not announce"
CHARACTERISTICS: dict[tuple[str, str], str] = {
    ("User", "password caseExact"): "false in the listing of RFC 7643 section 8.7.1",
    ("User", "groups.$ref referenceTypes"): "User and Group in the listing of section 8.7.1",
    ("EnterpriseUser", "manager.value required"): "RECOMMENDED in section 4.3, false in the listing",
    ("EnterpriseUser", "manager.$ref required"): "RECOMMENDED in section 4.3, false in the listing",
    ("Group", "members.display mutability"): "immutable by section 2.4",
    ("ServiceProviderConfig", "id"): "the one resource without an id (section 5)",
    ("ServiceProviderConfig", "pagination"): PAGINATION,
    ("ServiceProviderConfig", "pagination.cursor"): PAGINATION,
    ("ServiceProviderConfig", "pagination.cursorTimeout"): PAGINATION,
    ("ServiceProviderConfig", "pagination.defaultPageSize"): PAGINATION,
    ("ServiceProviderConfig", "pagination.defaultPaginationMethod"): PAGINATION,
    ("ServiceProviderConfig", "pagination.index"): PAGINATION,
    ("ServiceProviderConfig", "pagination.maxPageSize"): PAGINATION,
    ("ResourceType", "name caseExact"): "false in the listing of section 8.7.2",
    ("ResourceType", "name uniqueness"): "none in the listing of section 8.7.2",
    ("ResourceType", "endpoint uniqueness"): "none in the listing of section 8.7.2",
    ("ResourceType", "schemaExtensions required"): "OPTIONAL in section 6",
    ("Schema", "id caseExact"): "an id is case exact (section 3.1)",
    ("Schema", "id uniqueness"): "an id is unique on its server (section 3.1)",
    ("Schema", "attributes.description caseExact"): "text for people; false unless said otherwise (section 2.2)",
    ("Schema", "attributes.subAttributes.description caseExact"): "text for people; false unless said otherwise",
}
"""Where scim2-models has other characteristics than we, and why we are right."""


def flat(attributes: list[dict[str, Any]], prefix: str = "") -> dict[str, dict[str, Any]]:
    found = {}
    for attribute in attributes:
        name = f"{prefix}{attribute['name']}"
        found[name] = {
            key: value for key, value in attribute.items() if key not in {"name", "description", "subAttributes"}
        }
        found |= flat(attribute.get("subAttributes", []), f"{name}.")
    return found


def differences(ours: dict[str, dict[str, Any]], theirs: dict[str, dict[str, Any]]) -> set[str]:
    found = set(ours) ^ set(theirs)
    for name in set(ours) & set(theirs):
        for key in set(ours[name]) & set(theirs[name]):
            left, right = ours[name][key], theirs[name][key]
            if (sorted(left) != sorted(right)) if isinstance(left, list) else left != right:
                found.add(f"{name} {key}")
    return found


def test_the_schemas_agree_with_scim2_models() -> None:
    found = {
        (schema.name, difference)
        for schema in BY_ID.values()
        for difference in differences(
            flat(schema.to_dict()["attributes"]),
            flat(getattr(models, schema.name).to_schema().model_dump()["attributes"]),
        )
    }
    assert found == set(CHARACTERISTICS)
