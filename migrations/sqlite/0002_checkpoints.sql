CREATE TABLE audit_keys (
    kid TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    kek_id TEXT NOT NULL,
    wrapped_dek BLOB NOT NULL,
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX audit_keys_active ON audit_keys (state) WHERE state = 'active';

CREATE TABLE audit_checkpoints (
    seq INTEGER PRIMARY KEY,
    hash BLOB NOT NULL,
    at INTEGER NOT NULL,
    kid TEXT NOT NULL,
    signature BLOB NOT NULL
) STRICT;

CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    node_id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    mailbox_id TEXT NOT NULL,
    mailbox TEXT NOT NULL,
    grant_id TEXT NOT NULL,
    protocol TEXT NOT NULL,
    source TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    killed_at INTEGER
) STRICT;
CREATE INDEX sessions_node ON sessions (node_id);
