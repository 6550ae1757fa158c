CREATE TABLE used_tokens (
    kind TEXT NOT NULL,
    owner TEXT NOT NULL,
    digest BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (kind, owner, digest)
) STRICT;
CREATE INDEX used_tokens_expiry ON used_tokens (expires_at);
