"""`scimproxy up --mode forward`, `--http2` and `scimproxy ca`, as a user types them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from recording import command, environment, run

from scimproxy.app import RecordOptions
from scimproxy.cli import cli
from scimproxy.errors import UsageError
from scimproxy.proxy.engine import ANYWHERE, EngineOptions, Forward, Target


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--mode", "forward", "--engine", "native"], "native speaks no TLS to clients"),
        (["--mode", "forward", "--public-url", "https://x.ngrok.app"], "open proxy"),
        (
            ["--mode", "forward", "--tunnel", "ngrok"],
            "--tunnel is not for --mode forward: that would be an open proxy",
        ),
        (["--mode", "forward", "--tunnel", "command:x {port}"], "open proxy"),
        (["--mode", "forward", "--idle-close", "5m"], "--idle-close is not for --mode forward"),
        (["--mode", "forward", "--require-token", "env:X"], "--require-token is not for --mode forward: the guard"),
        (["--mode", "forward", "--secret-path", "auto"], "--secret-path is not for --mode forward"),
        (["--mode", "forward", "--allow", "okta", "--trust-forwarded-for"], "is not for --mode forward: the guard"),
        (["--mode", "forward", "--trust-forwarded-for"], "--trust-forwarded-for is not for --mode forward"),
        (["--mode", "forward", "--public-path", "/scim"], "--public-path is not for --mode forward"),
        (["--mode", "forward", "--preserve-host"], "--preserve-host is not for --mode forward"),
        (["--mode", "forward", "--rewrite-locations"], "--rewrite-locations is not for --mode forward"),
        (["--mode", "forward", "--http2"], "HTTP/2 follows the client"),
        (["--mode", "forward", "--only-host", "http://a"], "--only-host 'http://a' is not a host"),
        (["--mode", "forward", "--listen-host", "0.0.0.0"], "not a loopback address"),
        (["--mode", "forward", "ftp://x"], "is not http or https"),
        (["http://127.0.0.1:1", "--only-host", "a"], "--only-host is for --mode forward"),
        (["--port", "0"], "TARGET is missing"),
        (["https://127.0.0.1:1", "--http2", "--engine", "native"], "--http2 needs the engine mitmproxy"),
        (["http://127.0.0.1:1", "--http2"], "--http2 needs an https TARGET"),
    ],
)
def test_what_cannot_be(args: list[str], words: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["up", *args, "--db", str(tmp_path / "a.db")])
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Hint: " in result.stderr
    assert not (tmp_path / "a.db").exists()


def chosen(name: str, options: EngineOptions) -> str:
    return RecordOptions(engine=options, db=Path("x"), engine_name=name).engine_chosen  # type: ignore[arg-type]


def test_auto_takes_the_engine_that_can_do_it() -> None:
    plain = EngineOptions(target=Target("https", "a", 443))
    assert (chosen("auto", plain), chosen("mitmproxy", plain)) == ("native", "mitmproxy")
    assert chosen("auto", EngineOptions(target=plain.target, http2=True)) == "mitmproxy"
    assert chosen("auto", EngineOptions(target=ANYWHERE, forward=Forward(Path("x")))) == "mitmproxy"


def test_the_certificate_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCIMPROXY_CA_DIR", str(tmp_path / "ca"))
    shown = CliRunner().invoke(cli, ["ca"])
    assert shown.exit_code == 0
    assert shown.stdout.startswith("-----BEGIN CERTIFICATE-----\n")
    assert "PRIVATE" not in shown.output
    file = tmp_path / "ca" / "scimproxy-ca.pem"
    assert file.read_text() == shown.stdout
    assert str(file) in shown.stderr
    data = json.loads(CliRunner().invoke(cli, ["ca", "--json"]).stdout)
    assert (data["pem"], data["path"]) == (shown.stdout, str(file))
    assert data["sha256"] in shown.stderr
    assert data["subject"].endswith("O=scimproxy")


def test_showing_it_loads_no_engine(tmp_path: Path) -> None:
    done = run("ca", "--json", SCIMPROXY_CA_DIR=str(tmp_path), PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    assert "cryptography" in done.stderr
    assert "mitmproxy" not in done.stderr


def test_an_authority_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SCIMPROXY_CA_DIR", str(tmp_path / "file"))
    for args in (["ca"], ["up", "--mode", "forward", "--port", "0", "--db", str(tmp_path / "a.db")]):
        with pytest.raises(Exception, match="certificate authority") as caught:
            CliRunner().invoke(cli, args, standalone_mode=False, catch_exceptions=False)
        assert not isinstance(caught.value, UsageError)


def test_the_banner_says_what_to_trust(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command("up", "--mode", "forward", "--only-host", "*.okta.com", "--port", "0", "--db", str(tmp_path / "a.db")),
        stderr=subprocess.PIPE, text=True, env=environment(SCIMPROXY_CA_DIR=str(tmp_path / "ca")),
    )  # fmt: skip
    assert process.stderr is not None
    try:
        seen = []
        for line in process.stderr:
            seen.append(line)
            if "Ctrl-C" in line:
                break
    finally:
        process.terminate()
        process.stderr.read()
        process.stderr.close()
        assert process.wait(30) == 0
    text = "".join(seen)
    assert "scimproxy is recording with mitmproxy." in text
    assert "Records   *.okta.com\n" in text
    assert f"SSL_CERT_FILE='{tmp_path / 'ca' / 'scimproxy-ca.pem'}'" in text
    assert "HTTPS_PROXY=http://127.0.0.1:" in text
    assert "ngrok" not in text
