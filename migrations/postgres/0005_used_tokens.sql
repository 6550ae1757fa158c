CREATE TABLE used_tokens (
    kind TEXT NOT NULL,
    owner TEXT NOT NULL,
    digest BYTEA NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (kind, owner, digest)
);
CREATE INDEX used_tokens_expiry ON used_tokens (expires_at);
