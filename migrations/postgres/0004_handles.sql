CREATE TABLE handles (
    digest BYTEA PRIMARY KEY,
    client_id TEXT NOT NULL REFERENCES clients (id),
    mailbox_id TEXT NOT NULL REFERENCES mailboxes (id),
    grant_id TEXT NOT NULL REFERENCES grants (id),
    protocol TEXT NOT NULL,
    scopes TEXT NOT NULL,
    networks TEXT,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    mac BYTEA NOT NULL
);
CREATE INDEX handles_expires ON handles (expires_at);
