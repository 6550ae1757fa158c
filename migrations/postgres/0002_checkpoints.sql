CREATE TABLE audit_keys (
    kid TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    kek_id TEXT NOT NULL,
    wrapped_dek BYTEA NOT NULL,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX audit_keys_active ON audit_keys (state) WHERE state = 'active';

CREATE TABLE audit_checkpoints (
    seq BIGINT PRIMARY KEY,
    hash BYTEA NOT NULL,
    at BIGINT NOT NULL,
    kid TEXT NOT NULL,
    signature BYTEA NOT NULL
);

CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    node_id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    mailbox_id TEXT NOT NULL,
    mailbox TEXT NOT NULL,
    grant_id TEXT NOT NULL,
    protocol TEXT NOT NULL,
    source TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    killed_at BIGINT
);
CREATE INDEX sessions_node ON sessions (node_id);
