-- Policy objects: what is looked up by stands in columns, the object itself in `body` (JSON), and `mac` covers table, id and body.
-- `lookup` is the name that must be unique while the object is in force; it is NULL once it is removed.
CREATE TABLE operators (
    id TEXT PRIMARY KEY,
    lookup TEXT,
    parent TEXT,
    body TEXT NOT NULL,
    mac BYTEA NOT NULL,
    CONSTRAINT operators_lookup UNIQUE (lookup)
);
CREATE INDEX operators_parent ON operators (parent);
CREATE TABLE clients (
    id TEXT PRIMARY KEY,
    lookup TEXT,
    parent TEXT,
    body TEXT NOT NULL,
    mac BYTEA NOT NULL,
    CONSTRAINT clients_lookup UNIQUE (lookup)
);
CREATE INDEX clients_parent ON clients (parent);
CREATE TABLE client_secrets (
    id TEXT PRIMARY KEY,
    lookup TEXT,
    parent TEXT,
    body TEXT NOT NULL,
    mac BYTEA NOT NULL,
    CONSTRAINT client_secrets_lookup UNIQUE (lookup)
);
CREATE INDEX client_secrets_parent ON client_secrets (parent);
CREATE TABLE mailboxes (
    id TEXT PRIMARY KEY,
    lookup TEXT,
    parent TEXT,
    body TEXT NOT NULL,
    mac BYTEA NOT NULL,
    CONSTRAINT mailboxes_lookup UNIQUE (lookup)
);
CREATE INDEX mailboxes_parent ON mailboxes (parent);
CREATE TABLE grants (
    id TEXT PRIMARY KEY,
    lookup TEXT,
    parent TEXT,
    body TEXT NOT NULL,
    mac BYTEA NOT NULL,
    CONSTRAINT grants_lookup UNIQUE (lookup)
);
CREATE INDEX grants_parent ON grants (parent);

-- Credentials: sealed under a DEK of their own, which is wrapped under the KEK.
CREATE TABLE credentials (
    id TEXT PRIMARY KEY,
    mailbox_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    state TEXT NOT NULL,
    kek_id TEXT NOT NULL,
    wrapped_dek BYTEA NOT NULL,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT credentials_version UNIQUE (mailbox_id, version)
);

-- Keys that sign tokens, sealed under the KEK.
CREATE TABLE signing_keys (
    kid TEXT PRIMARY KEY,
    alg TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

-- The audit log: a hash chain whose head is locked by every writer.
CREATE TABLE audit_events (
    seq BIGINT PRIMARY KEY,
    code TEXT NOT NULL,
    client_id TEXT,
    mailbox_id TEXT,
    verdict_id TEXT,
    body TEXT NOT NULL,
    hash BYTEA NOT NULL
);
CREATE INDEX audit_events_verdict ON audit_events (verdict_id);
CREATE TABLE audit_head (
    id BIGINT PRIMARY KEY,
    seq BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    mac BYTEA NOT NULL
);

-- Which installation this is, and the proof that a KEK belongs to it. `epoch` counts changes of policy.
CREATE TABLE installation (
    id BIGINT PRIMARY KEY,
    installation_id TEXT NOT NULL,
    kek_id TEXT NOT NULL,
    proof BYTEA NOT NULL,
    epoch BIGINT NOT NULL
);
