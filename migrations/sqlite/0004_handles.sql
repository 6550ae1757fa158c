CREATE TABLE handles (
    digest BLOB PRIMARY KEY,
    client_id TEXT NOT NULL REFERENCES clients (id),
    mailbox_id TEXT NOT NULL REFERENCES mailboxes (id),
    grant_id TEXT NOT NULL REFERENCES grants (id),
    protocol TEXT NOT NULL,
    scopes TEXT NOT NULL,
    networks TEXT,
    issued_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    mac BLOB NOT NULL
) STRICT;
CREATE INDEX handles_expires ON handles (expires_at);
