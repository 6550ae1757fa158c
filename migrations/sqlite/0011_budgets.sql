-- What was used of a grant's budgets, by hour and day. What a living node holds ahead counts as used, and so does what a dead one held.
CREATE TABLE budget_uses (
    grant_id TEXT NOT NULL,
    what TEXT NOT NULL,
    span INTEGER NOT NULL,
    begun_at INTEGER NOT NULL,
    used INTEGER NOT NULL,
    is_told INTEGER NOT NULL,
    PRIMARY KEY (grant_id, what, span, begun_at)
) STRICT;

-- The folders that were counted, as digests.
CREATE TABLE budget_folders (
    grant_id TEXT NOT NULL,
    span INTEGER NOT NULL,
    begun_at INTEGER NOT NULL,
    folder BLOB NOT NULL,
    PRIMARY KEY (grant_id, span, begun_at, folder)
) STRICT;

-- Sessions that stand on a grant with a limit of them, one row each. A row that its node has not renewed for a while is nobody's.
CREATE TABLE session_seats (
    session_id TEXT PRIMARY KEY,
    grant_id TEXT NOT NULL,
    node_id TEXT NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT;

CREATE INDEX session_seats_grant ON session_seats (grant_id);
