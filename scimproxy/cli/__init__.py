"""The command line: commands parse, call the app or a pure function, and print.

One rule: a command module is imported when its command runs, and what it needs is imported inside the command, so
that `scimproxy --help` stays fast. Data goes to stdout, talk to stderr, and `--json` gives data to programs.
"""

from __future__ import annotations

import io
import sys

import click

from scimproxy import __version__
from scimproxy.cli.group import Entry, LazyGroup

__all__ = ["cli", "main"]

COMMANDS = (
    Entry("demo", "demo", "See it work: a SCIM server, the recorder and a client in one.", "Record"),
    Entry("up", "record", "Record what reaches a SCIM server.", "Record"),
    Entry("import", "files", "Read a HAR, flows of mitmproxy, ... as a new run.", "Record"),
    Entry("addon", "addon", "Show the addon that records from any mitmproxy.", "Record"),
    Entry("ca", "ca", "Show the certificate for clients of `up --mode forward`.", "Record"),
    Entry("ui", "ui", "Look at a database in the browser.", "Look"),
    Entry("runs", "browse", "List the runs.", "Look"),
    Entry("log", "browse", "List the exchanges of a run.", "Look"),
    Entry("show", "show", "Show an exchange: request, response, connection.", "Look"),
    Entry("search", "browse", "Find text in everything recorded.", "Look"),
    Entry("diff", "diff", "Compare two runs or two exchanges.", "Look"),
    Entry("run", "run", "Run a Runscope suite against a SCIM server.", "Test"),
    Entry("suites", "results", "List the bundled suites.", "Test"),
    Entry("results", "results", "Show how a suite's run came out.", "Test"),
    Entry("match", "match", "Judge a run of Runscope that was recorded.", "Test"),
    Entry("drill", "drill", "Let named things go wrong, and see who comes through.", "Test"),
    Entry("replay", "replay", "Send a run, or one exchange, again and compare.", "Put to work"),
    Entry("mock", "mock", "Answer from a recording, as the recorded server did.", "Put to work"),
    Entry("export", "files", "Write a run as HAR, curl, hurl, pytest, Postman, ...", "Put to work"),
    Entry("report", "report", "Write a run as one HTML file to give to others.", "Share"),
    Entry("share", "share", "Let others read a run through a link nobody can guess.", "Share"),
    Entry("unshare", "share", "Make a run private again.", "Share"),
    Entry("doctor", "doctor", "Check the target, the database and this machine.", "Housekeeping"),
    Entry("tunnel", "tunnel", "List the tunnels that `up` knows; install ngrok's agent.", "Housekeeping"),
    Entry("okta-ranges", "okta_ranges", "Show or fetch Okta's IP ranges, for `up --allow okta`.", "Housekeeping"),
    Entry("prune", "prune", "Delete old runs.", "Housekeeping"),
    Entry("help", "topics", "Explain the filter language, the exit codes, ...", "Housekeeping"),
)


@click.group(
    cls=LazyGroup,
    entries=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with `scimproxy demo`; `scimproxy COMMAND --help` explains each of them.",
)
@click.version_option(__version__, message="scimproxy %(version)s")
def cli() -> None:
    """Record, inspect and share what SCIM clients send to your server."""


def main() -> None:
    """Run the command line; ends the process with an exit code of `scimproxy help exit-codes`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # not UTF-8: escapes, not a traceback
    cli.main(prog_name="scimproxy")
