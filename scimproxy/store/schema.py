"""The tables, as migrations: each a named function, applied together with its record in one transaction.

One rule: a migration that has been released is never edited; a new one is added and SCHEMA_VERSION raised, and
tests/data/ gets a database of the version before. `user_version` in the file is the number of the newest migration
applied, so that a reader knows at once whether it understands the file, without importing sqlite_utils.
"""

from __future__ import annotations

import sqlite3
from typing import Any

__all__ = ["APPLICATION_ID", "DERIVE_VERSION", "OLDEST_READABLE", "SCHEMA_VERSION", "migrate", "next_numbers"]

APPLICATION_ID = 0x5C1A2643
"""Marks the file as ours (`PRAGMA application_id`)."""

SCHEMA_VERSION = 5
"""The newest migration below (`PRAGMA user_version`)."""

OLDEST_READABLE = 1
"""A reader, which may not change the file, understands files from this version on: later ones only add tables."""

DERIVE_VERSION = 2
"""Raise when derive.py makes other rows or another search text of the same exchange: then all are made again."""

_FIRST = (
    """
CREATE TABLE runs (
  -- Whatever makes exchanges: a recording, a suite, a replay, a mock, an import.
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  started_at TEXT NOT NULL,
  ended_at TEXT,
  target TEXT,
  public_url TEXT,
  engine TEXT,
  version TEXT,          -- of scimproxy
  note TEXT,
  source_run_id INTEGER, -- the run that this one replays or mocks
  lost INTEGER NOT NULL DEFAULT 0, -- exchanges that passed without being recorded
  process TEXT           -- who writes it: process id and start, to tell a crash from a recording that goes on
) STRICT
""",
    """
CREATE TABLE connections (
  -- Transport connections of both sides. Which exchanges they carried: exchanges.client_connection_id, upstream_...
  id INTEGER PRIMARY KEY,
  run_id INTEGER NOT NULL REFERENCES runs (id),
  uid TEXT NOT NULL,     -- the engine's name for it
  side TEXT NOT NULL CHECK (side IN ('client', 'upstream')),
  peer_host TEXT,
  peer_port INTEGER,
  local_host TEXT,
  local_port INTEGER,
  server_name TEXT,
  http_version TEXT,
  opened_at TEXT,
  closed_at TEXT,
  closed_by TEXT,
  close_reason TEXT,
  exchanges INTEGER,     -- how many it has carried
  tls INTEGER NOT NULL,  -- 1 where TLS was spoken
  tls_version TEXT,
  tls_cipher TEXT,
  tls_alpn TEXT,
  tls_sni TEXT
) STRICT
""",
    "CREATE UNIQUE INDEX connections_by_uid ON connections (run_id, side, uid)",
    """
CREATE TABLE certificates (
  -- Certificates seen in TLS handshakes, each once.
  sha256 TEXT PRIMARY KEY,
  subject TEXT NOT NULL,
  issuer TEXT NOT NULL,
  names TEXT NOT NULL,   -- JSON list of the names it is valid for
  not_before_at TEXT NOT NULL,
  not_after_at TEXT NOT NULL,
  der BLOB NOT NULL
) STRICT, WITHOUT ROWID
""",
    """
CREATE TABLE connection_certificates (
  -- The peer's chain on a connection; position 0 is the leaf.
  connection_id INTEGER NOT NULL REFERENCES connections (id),
  position INTEGER NOT NULL,
  certificate_sha256 TEXT NOT NULL REFERENCES certificates (sha256),
  PRIMARY KEY (connection_id, position)
) STRICT, WITHOUT ROWID
""",
    """
CREATE TABLE headers (
  -- Header (or trailer) fields of messages. Lists that follow closely on an equal one share its row.
  id INTEGER PRIMARY KEY,
  fields TEXT NOT NULL   -- JSON: [[name, value], ...] in the order of the wire
) STRICT
""",
    """
CREATE TABLE contents (
  -- Contents of messages, equal ones once.
  id INTEGER PRIMARY KEY,
  sha256 TEXT NOT NULL,  -- of what travelled; of what is stored where redacted
  size INTEGER NOT NULL, -- bytes that travelled
  stored_size INTEGER NOT NULL, -- bytes kept, before compression; less than size where the copy was cut
  redacted INTEGER NOT NULL,    -- 1 where secrets were replaced
  encoding TEXT,         -- how data is kept: NULL as it came, 'zlib' compressed
  data BLOB NOT NULL
) STRICT
""",
    "CREATE UNIQUE INDEX contents_once ON contents (sha256, size, stored_size, redacted) WHERE sha256 != ''",
    """
CREATE TABLE exchanges (
  -- One request and what became of it. Times are UTC, durations milliseconds; NULL is "not known".
  id INTEGER PRIMARY KEY,
  seq INTEGER NOT NULL,  -- grows with every write of a row, in the order of commits: what is new since N?
  run_id INTEGER NOT NULL REFERENCES runs (id),
  state TEXT NOT NULL CHECK (state IN ('pending', 'complete', 'aborted')),
  origin TEXT,           -- whose answer it is: upstream, proxy, mock
  method TEXT NOT NULL,
  target TEXT NOT NULL,  -- path and query as they came
  scheme TEXT,
  host TEXT,
  status_code INTEGER,
  reason TEXT,
  failure_kind TEXT,
  failure_message TEXT,
  failure_phase TEXT,
  failure_side TEXT,
  started_at TEXT NOT NULL,
  ended_at TEXT,
  total_ms REAL,
  dns_ms REAL,
  connect_ms REAL,
  tls_ms REAL,
  send_ms REAL,
  wait_ms REAL,
  receive_ms REAL,
  client TEXT,           -- label given at recording; else see operations.client
  client_address TEXT,
  client_claim TEXT,     -- what unvouched forwarding headers say
  client_connection_id INTEGER REFERENCES connections (id),
  client_index INTEGER,  -- number of this exchange on that connection, from 1
  upstream_address TEXT,
  upstream_connection_id INTEGER REFERENCES connections (id),
  upstream_index INTEGER,
  attempts INTEGER,
  ended TEXT,            -- how the client's side ended, in words
  request_http_version TEXT NOT NULL,
  request_headers_id INTEGER NOT NULL REFERENCES headers (id),
  request_content_id INTEGER NOT NULL REFERENCES contents (id),
  request_trailers_id INTEGER REFERENCES headers (id),
  request_wire_bytes INTEGER,
  response_http_version TEXT,
  response_headers_id INTEGER REFERENCES headers (id),
  response_content_id INTEGER REFERENCES contents (id),
  response_trailers_id INTEGER REFERENCES headers (id),
  response_wire_bytes INTEGER,
  upstream_request_target TEXT,         -- these three only where they differ from the client's side
  upstream_request_headers_id INTEGER REFERENCES headers (id),
  upstream_response_headers_id INTEGER REFERENCES headers (id),
  rewrites TEXT,         -- JSON: [[place, before, after], ...]
  note TEXT,
  tags TEXT,             -- JSON list
  uid TEXT,              -- the engine's name for it
  parent_id INTEGER,     -- the exchange that this one replays
  extra TEXT             -- JSON: [[name, JSON text], ...] of an imported file
) STRICT
""",
    "CREATE UNIQUE INDEX exchanges_by_seq ON exchanges (seq)",
    "CREATE INDEX exchanges_by_run ON exchanges (run_id)",
    "CREATE INDEX exchanges_pending ON exchanges (run_id, uid) WHERE state = 'pending'",
    """
CREATE TABLE tunnel_events (
  -- Changes of the tunnel's state.
  id INTEGER PRIMARY KEY,
  run_id INTEGER REFERENCES runs (id),
  at TEXT NOT NULL,
  state TEXT NOT NULL,
  url TEXT,
  message TEXT
) STRICT
""",
    "CREATE INDEX tunnel_events_by_run ON tunnel_events (run_id)",
    """
CREATE TABLE operations (
  -- Derived: what an exchange means in SCIM and who called. Can be deleted and made again.
  exchange_id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,    -- create read list search replace patch delete bulk discovery me other
  is_scim INTEGER NOT NULL,
  resource_type TEXT,
  resource_id TEXT,
  resource_name TEXT,
  version TEXT,          -- of SCIM
  filter TEXT,
  summary TEXT NOT NULL, -- in words
  client TEXT            -- who called: okta, runscope, entra, curl, ...
) STRICT
""",
    """
CREATE VIRTUAL TABLE search_index USING fts5 (
  -- Derived: case-folded text of URL, headers and decoded bodies; rowid is the exchange's id.
  text, content='', columnsize=0, detail=none, tokenize='trigram case_sensitive 1'
)
""",
    """
CREATE TABLE progress (
  -- Where the derived tables stand, and the highest numbers ever given (a prune must not free them).
  name TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID
""",
    """
CREATE VIEW exchange_details AS
  -- For a person with a SQL prompt: an exchange with its headers and contents (text only where stored plainly).
  SELECT e.id, e.run_id, e.started_at, e.state, o.summary, coalesce(e.client, o.client) AS client,
    e.method, e.target, e.host, e.status_code, e.reason, e.failure_kind, e.failure_message, e.total_ms,
    rh.fields AS request_headers, rc.size AS request_size, rc.encoding AS request_encoding, rc.data AS request_data,
    sh.fields AS response_headers, sc.size AS response_size, sc.encoding AS response_encoding,
    sc.data AS response_data,
    e.client_address, e.upstream_address, e.client_connection_id, e.upstream_connection_id, e.note, e.tags
  FROM exchanges e
  JOIN headers rh ON rh.id = e.request_headers_id JOIN contents rc ON rc.id = e.request_content_id
  LEFT JOIN headers sh ON sh.id = e.response_headers_id LEFT JOIN contents sc ON sc.id = e.response_content_id
  LEFT JOIN operations o ON o.exchange_id = e.id
""",
)

_SUITES = (
    """
CREATE TABLE suites (
  -- What a run of kind 'suite' was, and how it came out.
  run_id INTEGER PRIMARY KEY REFERENCES runs (id),
  result TEXT NOT NULL,  -- pass fail error canceled
  description TEXT NOT NULL,
  environment TEXT NOT NULL,
  source TEXT,           -- the file, or the name of a bundled suite
  canceled TEXT,         -- why it ended early
  initial_variables TEXT NOT NULL, -- JSON: [[name, value], ...] after the initial scripts; secrets as fingerprints
  warnings TEXT NOT NULL -- JSON list
) STRICT
""",
    """
CREATE TABLE steps (
  -- The steps of a suite's run, in the order in which they ended; the initial script is the first.
  id INTEGER PRIMARY KEY,
  run_id INTEGER NOT NULL REFERENCES runs (id),
  number TEXT NOT NULL,  -- its place in the file: 3, 5.2, 5[2].1
  step_type TEXT NOT NULL,
  result TEXT NOT NULL,  -- pass fail error skipped canceled
  note TEXT NOT NULL,
  method TEXT,
  url TEXT,
  status_code INTEGER,
  response_time_ms INTEGER,
  response_size_bytes INTEGER,
  errors TEXT NOT NULL,  -- JSON list of sentences
  not_supported INTEGER NOT NULL,
  duration_s REAL,
  started_at TEXT,
  exchange_id INTEGER    -- what it sent: exchanges.id
) STRICT
""",
    "CREATE INDEX steps_by_run ON steps (run_id)",
    """
CREATE TABLE assertions (
  -- What a step asserted of its answer; values are JSON, cut where they are long.
  step_id INTEGER NOT NULL REFERENCES steps (id),
  position INTEGER NOT NULL,
  result TEXT NOT NULL,  -- pass fail error
  source TEXT NOT NULL,
  comparison TEXT NOT NULL,
  property TEXT,
  target_value TEXT NOT NULL,
  actual_value TEXT NOT NULL,
  message TEXT NOT NULL,
  error TEXT,            -- why there was nothing to compare
  place TEXT,            -- where the value is: a JSON pointer, a header's name, an XPath
  PRIMARY KEY (step_id, position)
) STRICT, WITHOUT ROWID
""",
    """
CREATE TABLE variables (
  -- What a step took out of its answer.
  step_id INTEGER NOT NULL REFERENCES steps (id),
  position INTEGER NOT NULL,
  result TEXT NOT NULL,
  name TEXT NOT NULL,
  source TEXT NOT NULL,
  property TEXT,
  value TEXT NOT NULL,   -- JSON, cut where it is long
  error TEXT,
  PRIMARY KEY (step_id, position)
) STRICT, WITHOUT ROWID
""",
    """
CREATE TABLE scripts (
  -- The scripts of a step and what they logged.
  step_id INTEGER NOT NULL REFERENCES steps (id),
  position INTEGER NOT NULL,
  kind TEXT NOT NULL,    -- initial before after
  result TEXT NOT NULL,
  output TEXT NOT NULL,
  error TEXT,
  duration_ms REAL,
  PRIMARY KEY (step_id, position)
) STRICT, WITHOUT ROWID
""",
)

_SHARED = (
    # An index on every hash cost a recording a page for each content, and more as it grew: contents that follow
    # closely on an equal one share its row anyway (sharing.py). Big ones are still looked for.
    "DROP INDEX contents_once",
    "CREATE INDEX contents_big ON contents (sha256) WHERE stored_size > 16384",
)

_SHARES = (
    """
CREATE TABLE shares (
  -- Runs that are shareable: whoever has the link may read one. A run without a row is private.
  run_id INTEGER PRIMARY KEY REFERENCES runs (id),
  token_sha256 TEXT NOT NULL UNIQUE, -- of the secret part of the link, which is stored nowhere
  keep_names INTEGER NOT NULL CHECK (keep_names IN (0, 1)), -- 0: personal values are pseudonyms
  created_at TEXT NOT NULL,
  expires_at TEXT        -- nothing: until it is private again
) STRICT
""",
)


_AGAIN = (
    # How a suite was run, to run it again: a JSON list of what was typed, without secrets, and where that was.
    "ALTER TABLE suites ADD COLUMN command TEXT",
    "ALTER TABLE suites ADD COLUMN folder TEXT",
    # Who serves a link: process id and start. When that process is gone, so is the link.
    "ALTER TABLE shares ADD COLUMN process TEXT",
)


def next_numbers(conn: sqlite3.Connection) -> tuple[int, int]:
    """Return the next exchange id and the next seq. A prune leaves the highest ones ever given in `progress`."""
    numbers = conn.execute(
        "SELECT 1 + max(coalesce((SELECT max(id) FROM exchanges), 0),"
        " coalesce((SELECT value FROM progress WHERE name = 'highest_id'), 0)),"
        " 1 + max(coalesce((SELECT max(seq) FROM exchanges), 0),"
        " coalesce((SELECT value FROM progress WHERE name = 'highest_seq'), 0))"
    ).fetchone()
    return int(numbers[0]), int(numbers[1])


def migrate(conn: sqlite3.Connection) -> None:
    """Bring the file to SCHEMA_VERSION. Costs nothing where it is there already."""
    (version,) = conn.execute("PRAGMA user_version").fetchone()
    if version >= SCHEMA_VERSION:
        return
    # Imported here: it takes longer than everything else at start, and is needed only for a new or old file.
    from sqlite_utils import Database, Migrations  # noqa: PLC0415

    migrations: Any = Migrations("scimproxy")

    @migrations()  # type: ignore[untyped-decorator]  # sqlite_utils is not typed for us
    def m001_first(db: Database) -> None:
        for statement in _FIRST:
            db.execute(statement.strip())
        db.execute("INSERT INTO progress VALUES ('derived_seq', 0), ('derive_version', ?)", [DERIVE_VERSION])
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("PRAGMA user_version = 1")

    @migrations()  # type: ignore[untyped-decorator]  # as above
    def m002_suites(db: Database) -> None:
        for statement in _SUITES:
            db.execute(statement.strip())
        db.execute("PRAGMA user_version = 2")

    @migrations()  # type: ignore[untyped-decorator]  # as above
    def m003_shared(db: Database) -> None:
        for statement in _SHARED:
            db.execute(statement)
        db.execute("PRAGMA user_version = 3")

    @migrations()  # type: ignore[untyped-decorator]  # as above
    def m004_shares(db: Database) -> None:
        for statement in _SHARES:
            db.execute(statement.strip())
        db.execute("PRAGMA user_version = 4")

    @migrations()  # type: ignore[untyped-decorator]  # as above
    def m005_again(db: Database) -> None:
        for statement in _AGAIN:
            db.execute(statement)
        db.execute("PRAGMA user_version = 5")

    migrations.apply(Database(conn, recursive_triggers=False))
