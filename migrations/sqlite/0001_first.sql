-- Policy objects: what is looked up by stands in columns, the object itself in `body` (JSON), and `mac` covers table, id and body.
-- `lookup` is the name that must be unique while the object is in force; it is NULL once it is removed.
CREATE TABLE operators (
    id TEXT PRIMARY KEY,
    lookup TEXT,
    parent TEXT,
    body TEXT NOT NULL,
    mac BLOB NOT NULL,
    CONSTRAINT operators_lookup UNIQUE (lookup)
) STRICT;
CREATE INDEX operators_parent ON operators (parent);
CREATE TABLE clients (
    id TEXT PRIMARY KEY,
    lookup TEXT,
    parent TEXT,
    body TEXT NOT NULL,
    mac BLOB NOT NULL,
    CONSTRAINT clients_lookup UNIQUE (lookup)
) STRICT;
CREATE INDEX clients_parent ON clients (parent);
CREATE TABLE client_secrets (
    id TEXT PRIMARY KEY,
    lookup TEXT,
    parent TEXT,
    body TEXT NOT NULL,
    mac BLOB NOT NULL,
    CONSTRAINT client_secrets_lookup UNIQUE (lookup)
) STRICT;
CREATE INDEX client_secrets_parent ON client_secrets (parent);
CREATE TABLE mailboxes (
    id TEXT PRIMARY KEY,
    lookup TEXT,
    parent TEXT,
    body TEXT NOT NULL,
    mac BLOB NOT NULL,
    CONSTRAINT mailboxes_lookup UNIQUE (lookup)
) STRICT;
CREATE INDEX mailboxes_parent ON mailboxes (parent);
CREATE TABLE grants (
    id TEXT PRIMARY KEY,
    lookup TEXT,
    parent TEXT,
    body TEXT NOT NULL,
    mac BLOB NOT NULL,
    CONSTRAINT grants_lookup UNIQUE (lookup)
) STRICT;
CREATE INDEX grants_parent ON grants (parent);

-- Credentials: sealed under a DEK of their own, which is wrapped under the KEK.
CREATE TABLE credentials (
    id TEXT PRIMARY KEY,
    mailbox_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    state TEXT NOT NULL,
    kek_id TEXT NOT NULL,
    wrapped_dek BLOB NOT NULL,
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    CONSTRAINT credentials_version UNIQUE (mailbox_id, version)
) STRICT;

-- Keys that sign tokens, sealed under the KEK.
CREATE TABLE signing_keys (
    kid TEXT PRIMARY KEY,
    alg TEXT NOT NULL,
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- The audit log: a hash chain whose head is locked by every writer.
CREATE TABLE audit_events (
    seq INTEGER PRIMARY KEY,
    code TEXT NOT NULL,
    client_id TEXT,
    mailbox_id TEXT,
    verdict_id TEXT,
    body TEXT NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE INDEX audit_events_verdict ON audit_events (verdict_id);
CREATE TABLE audit_head (
    id INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL,
    mac BLOB NOT NULL
) STRICT;

-- Which installation this is, and the proof that a KEK belongs to it. `epoch` counts changes of policy.
CREATE TABLE installation (
    id INTEGER PRIMARY KEY,
    installation_id TEXT NOT NULL,
    kek_id TEXT NOT NULL,
    proof BLOB NOT NULL,
    epoch INTEGER NOT NULL
) STRICT;
