"""`scimproxy ca`: the certificate that a client must trust before `up --mode forward` can look into its TLS.

One rule: the certificate goes to stdout, ready for a file; the key is never shown.
"""

from __future__ import annotations

import click

from scimproxy.cli.options import json_option

__all__ = ["ca_command"]


@click.command("ca")
@json_option("the certificate and where it is")
def ca_command(*, as_json: bool) -> None:
    """Show the certificate of the authority that `up --mode forward` signs with; it is made where there is none.

    It is kept with its key in your data directory, or in SCIMPROXY_CA_DIR. Let only a client under test
    trust it, not your browser or your whole machine: whoever has the key can read what such a client sends.
    """
    from scimproxy.cli.terminal import echo_json
    from scimproxy.proxy.authority import Authority, authority_folder

    authority = Authority.open(authority_folder())
    if as_json:
        echo_json(
            {
                "path": str(authority.path),
                "subject": authority.certificate.subject.rfc4514_string(),
                "sha256": authority.sha256,
                "not_after": authority.certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "pem": authority.pem,
            }
        )
        return
    click.echo(authority.pem, nl=False)
    click.echo(f"File      {authority.path}", err=True)
    click.echo(f"SHA-256   {authority.sha256}", err=True)
    click.echo(f"Until     {authority.certificate.not_valid_after_utc:%Y-%m-%d}", err=True)
    click.echo("To trust  name the file in SSL_CERT_FILE (OpenSSL, Go, Ruby, httpx),", err=True)
    click.echo("          REQUESTS_CA_BUNDLE, NODE_EXTRA_CA_CERTS, or with curl --cacert", err=True)
