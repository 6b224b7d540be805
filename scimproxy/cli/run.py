"""`scimproxy run`: run a Runscope suite against a SCIM server, and say why what failed failed.

One rule: the token is never echoed and never stored; talk and progress go to stderr, results to stdout.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scimproxy.cli.group import INTERRUPTED
from scimproxy.cli.options import Number, auth_option, db_option, json_option
from scimproxy.cli.ui import share_port_option
from scimproxy.errors import ScimproxyError, UsageError

if TYPE_CHECKING:
    from scimproxy.suite.model import Environment, Suite
    from scimproxy.suite.results import SuiteResult
    from scimproxy.suite_run import SuiteOptions

__all__ = ["inspect", "look_ahead", "run_command"]

_REMARKS = 5
"""So many remarks about a suite's file are told one by one."""
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("run", no_args_is_help=True)
@click.argument("suite")
@click.option("--target", help="Base URL of the SCIM server; fills SCIMBaseURL and its like.")
@auth_option
@click.option(
    "--var", "variables", multiple=True, metavar="NAME=VALUE", help="A variable; wins over all. Repeatable."
)
@click.option("--env", "env_file", type=_FILE, help="File with an environment, or with variables (JSON).")
@click.option("--environment", metavar="NAME", help="Which environment of the suite's file to use.")
@click.option("--initial-script", "scripts", type=_FILE, multiple=True, help="JavaScript to run first. Repeatable.")
@click.option("--test", "test_name", metavar="NAME", help="Which test, where the file holds several.")
@click.option("--step", "steps", metavar="3-7", help="Only these steps, like 3 or 3-7 or 1,4-.")
@click.option("--stop-on-failure", is_flag=True, help="End at the first failed step.")
@click.option(
    "--pause-scale",
    type=click.FloatRange(0, 10),
    default=1.0,
    show_default=True,
    help="Multiply pauses by this; 0 for CI.",
)
@click.option("--seed-user", is_flag=True, help="Create a user first where the server holds none.")
@click.option("--skip-preflight", is_flag=True, help="Run without looking ahead.")
@click.option("--insecure", is_flag=True, help="Do not verify the server's certificate.")
@click.option("--ca", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="CA file to trust.")
@click.option(
    "--timeout", type=click.FloatRange(0.1, 3600), default=60.0, show_default=True, help="Seconds for one request."
)
@click.option("--junit", type=_FILE, help="Write JUnit XML to this file.")
@click.option("--html", type=_FILE, help="Write one HTML file with everything.")
@click.option("--markdown", type=_FILE, help="Write Markdown for a pull request.")
@click.option(
    "--secret",
    "secret_names",
    multiple=True,
    metavar="NAME",
    help="Give get_secret(NAME) the value of the environment variable NAME. Repeatable.",
)
@click.option("--ui", is_flag=True, help="Follow it in a browser; the page stays until Ctrl-C.")
@click.option(
    "--ui-port", type=Number(0, 65535), metavar="PORT", help="With --ui: its port; 0: any.  [default: 8081]"
)
@share_port_option
@click.option("--keep-secrets", is_flag=True, help="Store tokens and passwords as they came. Careful.")
@db_option
@json_option("the result, with Runscope's names,")
def run_command(suite: str, *, db: Path, as_json: bool, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Run SUITE, a file in Runscope's format or the name of a bundled suite, against a SCIM server.

    scimproxy run scim2-spec --target http://127.0.0.1:8000/scim/v2 --auth env:AUTH

    Every request is recorded; with --ui, a browser shows them step by step. Exit code 0: all passed; 1: something
    failed; 3: something could not be run.
    """
    from scimproxy.cli.reading import read_auth
    from scimproxy.cli.reports import check_places, write_reports

    check_places(given)
    for name in ("ui_port", "share_port"):
        if given[name] and not given["ui"]:
            raise UsageError(f"--{name.replace('_', '-')} is for --ui", hint="add --ui")
    options = _options(suite, db, {**given, "auth": read_auth(given["auth"])})

    def report(result: SuiteResult) -> None:
        write_reports(result, db, given)
        if as_json:
            from scimproxy.cli.terminal import echo_json
            from scimproxy.report.suites import runscope_json

            echo_json(runscope_json(result))

    result = _run(options, given, report, as_json=as_json)
    click.get_current_context().exit(_exit_code(result))


def _exit_code(result: SuiteResult) -> int:
    if result.result == "canceled":
        return INTERRUPTED
    return {"pass": 0, "fail": 1}.get(result.result, 3)


# --- what to run


def _named_secrets(names: Iterable[str]) -> dict[str, str]:
    """Return secrets from the process's environment: a command line can be read by everybody on this machine."""
    found = {}
    for name in names:
        value = os.environ.get(name)
        if not value:
            raise UsageError(
                f"--secret {name}: there is no environment variable of that name",
                hint=f"write `{name}=... scimproxy run ...`; a value on the command line could be read by others",
            )
        found[name] = value
    return found


def _options(name: str, db: Path, given: Mapping[str, Any]) -> SuiteOptions:
    from scimproxy.cli.again import words_again
    from scimproxy.proxy.engine import Target
    from scimproxy.suite.library import choose_test, find_suite, read_bounded, tests_of
    from scimproxy.suite.masking import secrets_of
    from scimproxy.suite.preflight import AUTH_NAMES, TARGET_NAMES, names_used
    from scimproxy.suite_run import SuiteOptions

    path = find_suite(name)
    tests = tests_of(read_bounded(path), str(path))
    suite = choose_test(tests, given["test_name"], str(path))
    environment = _environment(suite, given)
    scripts = tuple(read_bounded(one).decode("utf-8-sig", "replace") for one in given["scripts"])
    used = names_used(suite)
    pinned: dict[str, Any] = {}
    target = None if given["target"] is None else str(Target.parse(given["target"]))
    auth: str | None = given["auth"]
    if target is not None:
        _fill(pinned, TARGET_NAMES, used, target, "--target")
    if auth is not None:
        _fill(pinned, AUTH_NAMES, used, auth, "--auth")
    pinned.update(_variables(given["variables"]))
    named_secrets = _named_secrets(given["secret_names"])
    known = {**environment.initial_variables, **pinned}
    if target is None:
        target = next((str(known[one]).rstrip("/") for one in TARGET_NAMES if one in known), None)
    secrets = secrets_of(known) | secrets_of({"auth": auth}) | frozenset(named_secrets.values())
    return SuiteOptions(
        suite=suite,
        db=db,
        environment=environment,
        source=name if path.name == f"{name}.json" else str(path.name),
        target=target,
        pinned=pinned,
        secrets=secrets,
        named_secrets=named_secrets,
        initial_scripts=scripts,
        only=_selected(given["steps"], len(suite.steps)),
        stop_on_failure=True if given["stop_on_failure"] else None,
        pause_scale=given["pause_scale"],
        timeout_s=given["timeout"],
        insecure=given["insecure"],
        ca=given["ca"],
        others=tests,
        keep_secrets=given["keep_secrets"],
        command=words_again(click.get_current_context(), secrets),
        folder=str(Path.cwd()),
    )


def _environment(suite: Suite, given: Mapping[str, Any]) -> Environment:
    from dataclasses import replace

    from scimproxy.suite.library import read_as, read_bounded
    from scimproxy.suite.model import inherit
    from scimproxy.suite.runscope import parse_environments

    environment = suite.environment
    if given["environment"] is not None:
        found = suite.find_environment(given["environment"])
        if found is None:
            names = ", ".join(repr(one.name) for one in suite.environments) or "none"
            raise UsageError(f"there is no environment {given['environment']!r}", hint=f"the file holds: {names}")
        environment = found
    if given["env_file"] is not None:
        path = given["env_file"]
        found_ones = read_as(str(path), parse_environments, read_bounded(path))
        if not found_ones:
            raise UsageError(f"{path} holds no environment")
        # Several: the first, with what it inherits from the others.
        child = replace(suite, environments=found_ones).with_inherited(found_ones[0])
        environment = inherit(child, environment)
    return environment


def _variables(texts: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in texts:
        name, mark, value = text.partition("=")
        if not mark or not name.strip():
            raise UsageError("--var wants NAME=VALUE", hint="write it like --var oktaAppId=0oa1234")
        found[name.strip()] = value
    return found


def _fill(pinned: dict[str, Any], names: tuple[str, ...], used: set[str], value: str, option: str) -> None:
    wanted = [name for name in names if name in used]
    if not wanted:
        from scimproxy.cli.printer import notice

        notice("warning", f"the suite uses none of the variables that {option} fills ({', '.join(names)})")
    pinned.update(dict.fromkeys(wanted, value))


def _selected(text: str | None, count: int) -> frozenset[int] | None:
    """Read `3-7`, `1,4-`, `-2`: numbers of steps, from 1."""
    if text is None:
        return None
    chosen: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d{0,4})\s*(-?)\s*(\d{0,4})\s*", part)
        if found is None or not (found[1] or found[3]) or (found[1] and found[3] and not found[2]):
            raise UsageError(f"--step {text!r} is no selection", hint="write it like 3, 3-7 or 1,4-")
        first = int(found[1] or 1)
        last = int(found[3] or count) if found[2] else first
        chosen |= set(range(first, min(last, count) + 1))
    if not chosen & set(range(1, count + 1)):
        raise UsageError(f"--step {text!r} selects nothing", hint=f"the suite has steps 1 to {count}")
    return frozenset(chosen)


# --- running it


def _run(
    options: SuiteOptions, given: Mapping[str, Any], report: Callable[[SuiteResult], None], *, as_json: bool
) -> SuiteResult:
    """Run it and report; with --ui, an inspector is beside it until somebody asks to stop."""
    import asyncio

    from scimproxy.app import Stop
    from scimproxy.cli.suite_lines import Teller
    from scimproxy.cli.ui import inspecting
    from scimproxy.suite.script import ScriptEngine
    from scimproxy.suite_run import Sandbox, run_suite

    if not given["skip_preflight"]:
        look_ahead(options, "--skip-preflight runs the suite all the same")

    async def whole(engine: ScriptEngine) -> SuiteResult:
        if not given["skip_preflight"] and options.target is not None:
            await inspect(options, seed=given["seed_user"])
        ports = {"ui_port": given["ui_port"], "share_port": given["share_port"]}
        async with inspecting(options.db, ui=given["ui"], **ports) as url:
            with _progress(options) as progress:
                teller = Teller(progress, quiet=as_json, chosen=options.only is not None, inspector=url)
                result = await run_suite(options, Sandbox(engine, options.named_secrets), teller, Stop())
            teller.summary(result, options.db)
            report(result)
            if url is not None and result.canceled is None:
                click.echo("The inspector stays until Ctrl-C.", err=True)
                stop = Stop()
                with stop.on_signals():
                    await stop.requested.wait()
        return result

    with ScriptEngine() as engine:
        return asyncio.run(whole(engine))


@contextlib.contextmanager
def _progress(options: SuiteOptions) -> Iterator[Any]:
    """Give a live bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        BarColumn(24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        progress.add_task("", total=len(options.suite.steps))
        yield progress


def look_ahead(options: SuiteOptions, hint: str) -> None:
    """Refuse a run that would miss variables, with this hint; warn of a token without its scheme.

    Raises:
        UsageError: nothing defines a variable; the message lists all, and says where each would come from.
    """
    from dataclasses import replace

    from scimproxy.cli.printer import notice
    from scimproxy.cli.terminal import plural, safe
    from scimproxy.suite.preflight import AUTH_NAMES, auth_problem, undefined

    suite = options.suite
    _remark(suite)
    if options.only is not None:
        chosen = options.only
        suite = replace(
            suite,
            steps=tuple(one if at in chosen else replace(one, skipped=True) for at, one in enumerate(suite.steps, 1)),
        )
    given = {*options.pinned, *options.variables}
    missing = undefined(suite, options.environment, given, options.initial_scripts)
    if missing:
        click.echo("Nothing defines these variables of the suite:", err=True)
        for one in missing:
            click.echo(f"  {click.style(safe(one.name), bold=True)}, first used in {safe(one.place)}", err=True)
            click.echo(f"      {safe(one.source)}", err=True)
        raise UsageError(f"{plural(len(missing), 'variable')} missing", hint=hint)
    known = {**options.environment.initial_variables, **options.pinned}
    for name in AUTH_NAMES:
        problem = auth_problem(str(known[name])) if name in known and "{{" not in str(known[name]) else None
        if problem:
            notice("warning", f"the variable {name} goes out as the Authorization header, and {problem}")


def _remark(suite: Suite) -> None:
    """Say what is odd about the file, which stops nothing."""
    from scimproxy.cli.printer import notice
    from scimproxy.cli.terminal import plural
    from scimproxy.suite.remarks import remarks

    found = remarks(suite)
    for one in found[:_REMARKS]:
        notice("note", str(one))
    if len(found) > _REMARKS:
        notice("note", f"{plural(len(found) - _REMARKS, 'more remark')} of this kind about the suite's file")


async def inspect(options: SuiteOptions, *, seed: bool) -> None:
    """Look whether the server is there and lets us in; a suite that reads the first user may get one (`seed`).

    Raises:
        ScimproxyError: it does not answer.
    """
    from scimproxy.cli.printer import notice
    from scimproxy.suite.preflight import AUTH_NAMES, reads_first_user
    from scimproxy.suite_run import inspect_target, seed_user

    target = options.target
    assert target is not None
    known = {**options.environment.initial_variables, **options.pinned}
    auth = next((str(known[one]) for one in AUTH_NAMES if one in known), None)
    if "{{" in target or (auth is not None and "{{" in auth):
        return
    found = await inspect_target(target, auth, insecure=options.insecure, ca=options.ca)
    if found.blocks:
        raise ScimproxyError(found.problem or "the target does not answer", hint=found.hint)
    if found.users == 0 and seed:
        problem = await seed_user(target, auth, insecure=options.insecure, ca=options.ca)
        if problem is None:
            notice("note", "the server held no user; one was created")
        else:
            notice("warning", f"no user could be created: {problem}")
    elif found.problem and (found.users != 0 or reads_first_user(options.suite)):
        notice("warning", found.problem, found.hint)
