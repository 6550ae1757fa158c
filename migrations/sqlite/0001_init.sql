CREATE TABLE installation (
    id TEXT PRIMARY KEY,
    kek_id TEXT NOT NULL,
    kek_check BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;
INSERT INTO counters (name, value) VALUES ('policy_epoch', 0);

CREATE TABLE audit_head (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL,
    mac BLOB NOT NULL
) STRICT;

CREATE TABLE audit_events (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    code TEXT NOT NULL,
    actor TEXT NOT NULL,
    outcome TEXT NOT NULL,
    client_id TEXT,
    mailbox_id TEXT,
    grant_id TEXT,
    session_id TEXT,
    request_id TEXT,
    verdict_id TEXT,
    source TEXT,
    detail TEXT NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE INDEX audit_events_verdict ON audit_events (verdict_id) WHERE verdict_id IS NOT NULL;
CREATE INDEX audit_events_client ON audit_events (client_id, seq);
CREATE INDEX audit_events_mailbox ON audit_events (mailbox_id, seq);

CREATE TABLE operators (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    status TEXT NOT NULL,
    token_digest BLOB NOT NULL,
    expires_at INTEGER,
    created_at INTEGER NOT NULL,
    mac BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX operators_name ON operators (name) WHERE status <> 'removed';
CREATE UNIQUE INDEX operators_token ON operators (token_digest);

CREATE TABLE mailboxes (
    id TEXT PRIMARY KEY,
    address TEXT NOT NULL,
    status TEXT NOT NULL,
    health TEXT NOT NULL,
    upstream TEXT NOT NULL,
    tokens_valid_after INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    mac BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX mailboxes_address ON mailboxes (address) WHERE status <> 'removed';

CREATE TABLE credentials (
    id TEXT PRIMARY KEY,
    mailbox_id TEXT NOT NULL REFERENCES mailboxes (id),
    version INTEGER NOT NULL,
    state TEXT NOT NULL,
    kek_id TEXT NOT NULL,
    wrapped_dek BLOB NOT NULL,
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (mailbox_id, version)
) STRICT;

CREATE TABLE breakers (
    mailbox_id TEXT PRIMARY KEY REFERENCES mailboxes (id),
    epoch INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    forgiven INTEGER NOT NULL,
    pending INTEGER NOT NULL,
    tried_at INTEGER NOT NULL
) STRICT;

CREATE TABLE clients (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    default_mailbox TEXT,
    token_alg TEXT NOT NULL,
    auth TEXT NOT NULL,
    required_binding TEXT NOT NULL,
    tokens_valid_after INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    mac BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX clients_name ON clients (name) WHERE status <> 'removed';

CREATE TABLE client_secrets (
    id TEXT PRIMARY KEY,
    client_id TEXT NOT NULL REFERENCES clients (id),
    digest BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    mac BLOB NOT NULL
) STRICT;
CREATE INDEX client_secrets_client ON client_secrets (client_id);

CREATE TABLE grants (
    id TEXT PRIMARY KEY,
    client_id TEXT NOT NULL REFERENCES clients (id),
    mailbox_id TEXT NOT NULL REFERENCES mailboxes (id),
    scopes TEXT NOT NULL,
    bounds TEXT NOT NULL,
    status TEXT NOT NULL,
    token_ttl_secs INTEGER NOT NULL,
    session_ttl_secs INTEGER NOT NULL,
    expires_at INTEGER,
    created_at INTEGER NOT NULL,
    mac BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX grants_active ON grants (client_id, mailbox_id) WHERE status = 'active';

CREATE TABLE signing_keys (
    kid TEXT PRIMARY KEY,
    alg TEXT NOT NULL,
    kek_id TEXT NOT NULL,
    wrapped_dek BLOB NOT NULL,
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    active_from INTEGER NOT NULL,
    retires_at INTEGER,
    revoked_at INTEGER,
    mac BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX signing_keys_last ON signing_keys (alg) WHERE retires_at IS NULL AND revoked_at IS NULL;
