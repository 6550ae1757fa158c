-- The freezes that are there: whoever ends one removes its row, and the audit log keeps what was.
CREATE TABLE freezes (
    id TEXT PRIMARY KEY,
    level TEXT NOT NULL,
    client_id TEXT,
    mailbox_id TEXT,
    protocol TEXT,
    reason TEXT NOT NULL,
    made_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    thaws_at BIGINT,
    mac BYTEA NOT NULL
);
