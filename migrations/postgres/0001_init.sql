CREATE TABLE installation (
    id TEXT PRIMARY KEY,
    kek_id TEXT NOT NULL,
    kek_check BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('policy_epoch', 0);

CREATE TABLE audit_head (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    seq BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    mac BYTEA NOT NULL
);

CREATE TABLE audit_events (
    seq BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
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
    hash BYTEA NOT NULL
);
CREATE INDEX audit_events_verdict ON audit_events (verdict_id) WHERE verdict_id IS NOT NULL;
CREATE INDEX audit_events_client ON audit_events (client_id, seq);
CREATE INDEX audit_events_mailbox ON audit_events (mailbox_id, seq);

CREATE TABLE operators (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    status TEXT NOT NULL,
    token_digest BYTEA NOT NULL,
    expires_at BIGINT,
    created_at BIGINT NOT NULL,
    mac BYTEA NOT NULL
);
CREATE UNIQUE INDEX operators_name ON operators (name) WHERE status <> 'removed';
CREATE UNIQUE INDEX operators_token ON operators (token_digest);

CREATE TABLE mailboxes (
    id TEXT PRIMARY KEY,
    address TEXT NOT NULL,
    status TEXT NOT NULL,
    health TEXT NOT NULL,
    upstream TEXT NOT NULL,
    tokens_valid_after BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    mac BYTEA NOT NULL
);
CREATE UNIQUE INDEX mailboxes_address ON mailboxes (address) WHERE status <> 'removed';

CREATE TABLE credentials (
    id TEXT PRIMARY KEY,
    mailbox_id TEXT NOT NULL REFERENCES mailboxes (id),
    version BIGINT NOT NULL,
    state TEXT NOT NULL,
    kek_id TEXT NOT NULL,
    wrapped_dek BYTEA NOT NULL,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (mailbox_id, version)
);

CREATE TABLE breakers (
    mailbox_id TEXT PRIMARY KEY REFERENCES mailboxes (id),
    epoch BIGINT NOT NULL,
    refused BIGINT NOT NULL,
    forgiven BIGINT NOT NULL,
    pending BIGINT NOT NULL,
    tried_at BIGINT NOT NULL
);

CREATE TABLE clients (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    default_mailbox TEXT,
    token_alg TEXT NOT NULL,
    auth TEXT NOT NULL,
    required_binding TEXT NOT NULL,
    tokens_valid_after BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    mac BYTEA NOT NULL
);
CREATE UNIQUE INDEX clients_name ON clients (name) WHERE status <> 'removed';

CREATE TABLE client_secrets (
    id TEXT PRIMARY KEY,
    client_id TEXT NOT NULL REFERENCES clients (id),
    digest BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    mac BYTEA NOT NULL
);
CREATE INDEX client_secrets_client ON client_secrets (client_id);

CREATE TABLE grants (
    id TEXT PRIMARY KEY,
    client_id TEXT NOT NULL REFERENCES clients (id),
    mailbox_id TEXT NOT NULL REFERENCES mailboxes (id),
    scopes TEXT NOT NULL,
    bounds TEXT NOT NULL,
    status TEXT NOT NULL,
    token_ttl_secs BIGINT NOT NULL,
    session_ttl_secs BIGINT NOT NULL,
    expires_at BIGINT,
    created_at BIGINT NOT NULL,
    mac BYTEA NOT NULL
);
CREATE UNIQUE INDEX grants_active ON grants (client_id, mailbox_id) WHERE status = 'active';

CREATE TABLE signing_keys (
    kid TEXT PRIMARY KEY,
    alg TEXT NOT NULL,
    kek_id TEXT NOT NULL,
    wrapped_dek BYTEA NOT NULL,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    active_from BIGINT NOT NULL,
    retires_at BIGINT,
    revoked_at BIGINT,
    mac BYTEA NOT NULL
);
CREATE UNIQUE INDEX signing_keys_last ON signing_keys (alg) WHERE retires_at IS NULL AND revoked_at IS NULL;
