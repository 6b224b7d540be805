"""scimproxy: a recording reverse proxy for developers of SCIM servers.

Words. An *exchange* is one request and what became of it: a response or a failure. A *run* is what makes
exchanges: a recording, a suite, a replay, an import. *Upstream* is the SCIM server, *client* is who called.

Data walks one way; everything a person sees is computed from the store by pure functions::

     client --tunnel--> proxy engine --> upstream SCIM server
                           |
                           v
        Exchange -> redact -> Store.submit (committed) -> the client gets its last byte
                                  |
                                  +-> derived: operation, client label, full text (off the hot path)
                                  +-> Store.changes(after=seq): terminal, inspector, reports
"""

__version__ = "0.1.0"
