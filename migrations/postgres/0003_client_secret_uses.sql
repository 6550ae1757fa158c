CREATE TABLE client_secret_uses (
    secret_id TEXT PRIMARY KEY REFERENCES client_secrets (id) ON DELETE CASCADE,
    used_at BIGINT NOT NULL,
    source TEXT NOT NULL
);
