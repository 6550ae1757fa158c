-- Logins under way, one row each: a count could not tell a login that may have failed from a slot that is kept after a good one.
CREATE TABLE login_slots (
    id TEXT PRIMARY KEY,
    mailbox_id TEXT NOT NULL REFERENCES mailboxes (id),
    reserved_at INTEGER NOT NULL,
    is_proven INTEGER NOT NULL
) STRICT;

CREATE INDEX login_slots_mailbox ON login_slots (mailbox_id);

ALTER TABLE breakers DROP COLUMN pending;
