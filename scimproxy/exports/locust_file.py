"""A run as a locustfile: each virtual user runs it again and again, with its own names and its own ids.

One rule: the file needs locust and the standard library alone; a request that lacks an id which no answer gave is
not sent, and told as failed. Pure; reads a Plan (variables.py). load.py starts it; docs/exports.md says how.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

from scimproxy.exports.python_code import SUPPORT, comment, expression, function_name
from scimproxy.exports.variables import Capture, Plan, Send

__all__ = ["locust_file"]

_HEAD = '''\
"""{name}: a recorded run of a SCIM client as load for Locust. Exported by scimproxy.

    SCIM_AUTH=TOKEN locust -f FILE --host http://127.0.0.1:8000/scim/v2 --headless --users 20 --run-time 1m

--host is the base URL of the SCIM server. Each virtual user sends the whole run, takes ids from its own answers, and
puts digits into names so that they are new; after the last request it begins again. SCIM_PAUSE: seconds between.
"""

import base64
import json
import os
import random
import sys
import time
import urllib.parse

from locust import FastHttpUser, constant, events, task
from locust.runners import WorkerRunner

PAUSE_S = float(os.environ.get("SCIM_PAUSE", "0"))
SECRETS = {{{secrets}}}

for name, value in SECRETS.items():
    if not value:
        sys.exit(f"Set {{name}}: the run was recorded with a secret, and the recording does not hold it.")


{support}

@events.quitting.add_listener
def nothing_sent(environment, **_):
    """End with 3 where no request came to an end: that is no load that passed."""
    if not isinstance(environment.runner, WorkerRunner) and environment.stats.total.num_requests == 0:
        environment.process_exit_code = 3


def fresh():
    """Return digits that no other virtual user has, on whatever machine it is."""
    return f"{{time.time_ns() // 1_000_000}}{{random.randrange(10**6):06d}}"


def in_answer(answer, *pointer):
    """Return the value at a place of a JSON answer."""
    value = json.loads(answer.text)
    for one in pointer:
        value = value[one]
    return value


def last_segment(url):
    """Return the id at the end of a location."""
    return urllib.parse.unquote(url.rstrip("/").rpartition("/")[2])


class Missing(Exception):
    """An id that no answer gave."""


class Values(dict):
    """What this pass through the run knows: its names, and the ids that its answers gave."""

    def __missing__(self, name):
        raise Missing(f"not sent: no answer gave {{name}}")


class Client(FastHttpUser):
    """One virtual user."""

    host = os.environ.get("SCIM_BASE_URL", {base_url})
    wait_time = constant(PAUSE_S)
    connection_timeout = network_timeout = 60.0

    @task
    def run_again(self):
        base_url = self.host.rstrip("/")
        server_url = "{{0.scheme}}://{{0.netloc}}".format(urllib.parse.urlsplit(base_url))
        values = Values(SECRETS, base_url=base_url, server_url=server_url, fresh=fresh())
        for step in STEPS:
            step(self, values)

    def send(self, name, method, status, make, take=None):
        """Send one request; `make` gives its parts, `take` keeps what its answer gives."""
        try:
            url, headers, body = make()
        except Missing as missing:
            self.environment.events.request.fire(
                request_type=method, name=name, response_time=0, response_length=0, exception=missing, context={{}}
            )
            return
        data = body.encode("utf-8") if isinstance(body, str) else body
        with self.client.request(
            method, url, name=name, headers=headers, data=data, allow_redirects=False, catch_response=True
        ) as answer:
            if status is not None and answer.status_code != status:
                answer.failure(f"{{answer.status_code}} instead of {{status}}")
                return
            try:
                if take is not None:
                    take(answer)
            except (LookupError, TypeError, ValueError, AttributeError) as problem:
                answer.failure(f"the answer does not give what later requests need: {{problem!r}}")
            else:
                answer.success()
'''


def locust_file(plan: Plan) -> Iterator[str]:
    """Yield the file, piece by piece."""
    secrets = ", ".join(
        f'"{one.name}": os.environ.get("{one.name}"' + (f', "Zq7-{one.mark[7:]}")' if one.optional else ")")
        for one in plan.secrets
    )
    yield _HEAD.format(name=comment(plan.name), secrets=secrets, base_url=ascii(plan.base_url), support=SUPPORT)
    names = []
    for send in plan.sends:
        names.append(function_name("step", send.number, send.title))
        yield "\n\n" + _step(send, names[-1])
    yield "\n\nSTEPS = [\n" + "".join(f"    {name},\n" for name in names) + "]\n"


def _step(send: Send, name: str) -> str:
    lines = [f"def {name}(user, values):", f'    """{comment(send.title)}."""']
    lines += [f"    # {comment(note)}" for note in send.notes]
    body = "None"
    if send.data is not None:
        body = f"base64.b64decode({base64.b64encode(send.data).decode('ascii')!a})"
    elif send.body is not None:
        body = expression(send.body, names="values[{!r}]")
    headers: dict[str, list[str]] = {}
    for header, value in send.headers:
        headers.setdefault(header, []).append(expression(value, names="values[{!r}]", indent=16))
    fields = "".join(f"                {one!a}: {' + ", " + '.join(all_of)},\n" for one, all_of in headers.items())
    lines += [
        "",
        "    def make():",
        "        return (",
        f"            {expression(send.url, names='values[{!r}]', indent=12)},",
        "            {\n" + fields + "            }," if fields else "            {},",
        f"            {body},",
        "        )",
        "",
    ]
    taking = ""
    if send.captures:
        lines += ["    def take(answer):"]
        lines += [f"        values[{one.name!r}] = {_capture(one)}" for one in send.captures]
        lines += [""]
        taking = ", take"
    lines += [f"    user.send({send.label!a}, {send.method!r}, {send.status}, make{taking})"]
    return "\n".join(lines) + "\n"


def _capture(capture: Capture) -> str:
    if capture.pointer:
        found = f"str(in_answer(answer, {', '.join(ascii(one) for one in capture.pointer)}))"
    else:
        found = f"answer.headers[{capture.header!a}]"
    return f"last_segment({found})" if capture.last_segment else found
