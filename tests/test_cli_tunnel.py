from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from conformance.tunnels import STANDINS, children, standin_agent
from listeners import free_port, http, listener
from recording import Up, command, environment
from standins.edge import TOKEN

from scimproxy.cli import cli
from scimproxy.cli.options import Duration
from scimproxy.tunnel import ngrok_binary


def invoke(*args: str, text: str = "") -> tuple[int, str]:
    result = CliRunner().invoke(cli, list(args), input=text)
    return result.exit_code, " ".join((result.stdout + result.stderr).split())


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--tunnel", "ngork"], "did you mean 'ngrok'"),
        (["--tunnel", "ngrok", "--tunnel", "bore:x"], "--tunnel is there 2 times"),
        (["--tunnel", "command:x {port}", "--ssh-port", "22"], "--ssh-port is for ssh, not for command"),
        (["--tunnel", "ssh:serveo", "--tunnel-url-pattern", "x"], "--tunnel-url-pattern is for command"),
        (["--max-duration", "8h"], "there is none"),
        (["--no-probe"], "there is none"),
        (["--tunnel", "ngrok:x"], "takes nothing after its name"),
        (["--tunnel", "ngrok", "--public-url", "https://x.example"], "ask ngrok for a URL with --url"),
        (["--tunnel", "bore"], "needs to know more"),
        (["--tunnel", "frp:./frpc.toml"], "needs --public-url"),
        (["--tunnel", "manual"], "needs --public-url"),
        (["--tunnel", "ssh:me@host"], "needs --public-url"),
        (["--tunnel", "command:x"], "does not say where the tunnel leads"),
        (["--tunnel", "cloudflared", "--url", "x.example"], "--url is for ngrok"),
        (["--url", "x.example"], "there is none"),
        (["--ngrok-token", "env:X"], "there is none"),
        (["--tunnel", "ngrok", "--ngrok-token", "2abc"], "takes no token"),
        (["--idle-close", "5m"], "there is none"),
        (["--max-duration", "soon"], "is not a length of time"),
        (["--max-duration", "0"], "is not a length of time"),
        (["--tunnel", "ngrok", "--ngrok-token", "-"], "stdin holds nothing"),
        (["--tunnel", "ngrok", "--traffic-policy", "/nonexistent"], "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_told(args: list[str], said: str, tmp_path: Path) -> None:
    code, told = invoke("up", "8000", "--db", str(tmp_path / "a.db"), *args)
    assert code == 2, told
    assert said in told
    assert not (tmp_path / "a.db").exists()


def test_what_is_missing_on_this_machine_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("PYNGROK_NGROK_PATH", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    for tunnel, said in (("ngrok", "scimproxy tunnel install"), ("cloudflared", "github.com/cloudflare")):
        code, told = invoke("up", "8000", "--db", str(tmp_path / "a.db"), "--tunnel", tunnel)
        assert code == 3
        assert said in told
    assert list(tmp_path.iterdir()) == []  # nothing was downloaded


def test_lengths_of_time() -> None:
    read = Duration().convert
    assert [read(text, None, None) for text in ("90", "90s", "30m", "8 h", "1.5d", "never", 5)] == [
        90.0,
        90.0,
        1800.0,
        28800.0,
        129600.0,
        None,
        5.0,
    ]


def test_the_list() -> None:
    code, told = invoke("tunnel", "list")
    assert code == 0
    for name in (
        "ngrok",
        "ssh:user@host",
        "cloudflared",
        "frp",
        "bore",
        "zrok",
        "devtunnel",
        "tailscale",
        "localtunnel",
    ):
        assert name in told
    result = CliRunner().invoke(cli, ["tunnel", "list", "--json"])
    assert {"name", "about", "install"} == set(json.loads(result.stdout.splitlines()[0]))


def test_the_agent_is_installed_only_after_a_yes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def install(url: str, path: Path) -> ngrok_binary.Installed:
        asked.append(url)
        return ngrok_binary.Installed(path, (3, 39), "abc")

    monkeypatch.setattr(ngrok_binary, "install", install)
    monkeypatch.setattr(ngrok_binary, "download_url", lambda: "https://bin.example/ngrok.tgz")
    code, told = invoke("tunnel", "install", "--ngrok-path", str(tmp_path / "ngrok"), text="n\n")
    assert (code, asked) == (130, [])
    assert f"Download ngrok's agent from https://bin.example/ngrok.tgz to {tmp_path / 'ngrok'}?" in told
    code, told = invoke("tunnel", "install", "--yes")
    assert (code, asked) == (0, ["https://bin.example/ngrok.tgz"])
    assert "SHA-256 abc" in told


@pytest.mark.parametrize("engine", ["native", "mitmproxy"])
def test_what_a_person_is_told(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NGROK_AUTHTOKEN", TOKEN)
    agent = standin_agent(tmp_path)
    with listener(lambda _: http(200, b"{}")) as port:
        given = command(
            "up", f"http://127.0.0.1:{port}/scim/v2", "--port", "0", "--db", str(tmp_path / "a.db"), "--engine", engine,
            "--tunnel", "ngrok", "--ngrok-path", str(agent), "--idle-close", "30m",
        )  # fmt: skip
        with subprocess.Popen(
            given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
        ) as it:
            assert it.stderr is not None
            lines = []
            for line in it.stderr:
                lines.append(line)
                if "came back" in line:
                    break
            it.send_signal(signal.SIGINT)
            lines += it.communicate(timeout=60)[1].splitlines(keepends=True)
    text = "".join(lines)
    assert it.returncode == 0, text
    public = next(line.split()[-1] for line in lines if "PUBLIC at" in line)
    assert public.endswith("/scim/v2")
    assert text.count(f"              {public}\n") == 2  # for Okta, for Runscope
    for said in (
        "SCIMBaseURL and auth",
        "Authentication Mode: HTTP Header",
        "Anyone on the internet who knows the URL",
        "Reachable: what lies below /scim/v2",
        "public IP address",
        "(--max-duration), or until nothing came for 30 minutes (--idle-close)",
        "tunnel starting: opening a tunnel with ngrok",
        "tunnel up: ",
        "tunnel stopped",
    ):
        assert said in " ".join(text.split())
    assert TOKEN not in text
    block = text.partition("PUBLIC at")[2].partition("\n\n")[0]
    assert [line for line in block.splitlines() if len(line) > 80] == []


def test_any_program_is_a_tunnel(tmp_path: Path) -> None:
    program = f"python3 {STANDINS / 'forward.py'} {{port}}"
    pattern = r"your tunnel: (http://127\.0\.0\.1:\d+)"
    with (
        listener(lambda _: http(200, b"{}")) as port,
        Up(
            f"http://127.0.0.1:{port}/scim/v2",
            tmp_path / "a.db",
            "--tunnel",
            f"command:{program}",
            "--tunnel-url-pattern",
            pattern,
        ) as up,
    ):
        first = up.wait_for("tunnel", state="up")
        assert first["base_url"] == f"{first['url']}/scim/v2"
        assert "came back" in up.wait_for("tunnel", state="up")["message"]
        up.stop()
        assert up.code == 0
    assert children(str(tmp_path)) == {}


@pytest.mark.parametrize("path", ["", "/scim/v2"])
def test_the_url_to_paste_holds_the_secret_path_once(path: str, tmp_path: Path) -> None:
    secret = "0123456789abcdef0123"
    with Up(
        f"http://127.0.0.1:{free_port()}/scim/v2", tmp_path / "a.db", "--secret-path", secret, "--no-probe",
        "--tunnel", "manual", "--public-url", f"https://x.example{path}",
    ) as up:  # fmt: skip
        event = up.wait_for("tunnel", state="up")
        assert event["base_url"] == f"https://x.example/{secret}/scim/v2"
        up.stop()
    assert invoke("log", "--db", str(tmp_path / "a.db"))[1].count(f"tunnel up: https://x.example{path} (") == 1


def test_a_policy_is_made_for_the_base_path() -> None:
    from scimproxy.cli.tunnel_options import _policy

    made = _policy("auto", "/scim/v2")
    assert made is not None
    assert "/scim/v2/" in json.dumps(made)
    assert _policy(None, "") is None


def test_what_vouches_for_addresses_is_what_the_providers_say() -> None:
    from scimproxy.cli.tunnel_options import vouches
    from scimproxy.tunnel.ngrok import Ngrok, NgrokSettings
    from scimproxy.tunnel.recipes import RECIPES

    assert vouches({"tunnel": "ngrok"}) is Ngrok(NgrokSettings()).traits.vouches_for_client is True
    for name, made in RECIPES.items():
        assert vouches({"tunnel": name}) is made.traits.vouches_for_client is False
