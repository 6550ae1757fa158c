-- What was used of a grant's budgets, by hour and day. What a living node holds ahead counts as used, and so does what a dead one held.
CREATE TABLE budget_uses (
    grant_id TEXT NOT NULL,
    what TEXT NOT NULL,
    span BIGINT NOT NULL,
    begun_at BIGINT NOT NULL,
    used BIGINT NOT NULL,
    is_told BIGINT NOT NULL,
    PRIMARY KEY (grant_id, what, span, begun_at)
);

-- The folders that were counted, as digests.
CREATE TABLE budget_folders (
    grant_id TEXT NOT NULL,
    span BIGINT NOT NULL,
    begun_at BIGINT NOT NULL,
    folder BYTEA NOT NULL,
    PRIMARY KEY (grant_id, span, begun_at, folder)
);

-- Sessions that stand on a grant with a limit of them, one row each. A row that its node has not renewed for a while is nobody's.
CREATE TABLE session_seats (
    session_id TEXT PRIMARY KEY,
    grant_id TEXT NOT NULL,
    node_id TEXT NOT NULL,
    seen_at BIGINT NOT NULL
);

CREATE INDEX session_seats_grant ON session_seats (grant_id);
