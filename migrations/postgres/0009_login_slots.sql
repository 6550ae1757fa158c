-- Logins under way, one row each: a count could not tell a login that may have failed from a slot that is kept after a good one.
CREATE TABLE login_slots (
    id TEXT PRIMARY KEY,
    mailbox_id TEXT NOT NULL REFERENCES mailboxes (id),
    reserved_at BIGINT NOT NULL,
    is_proven BIGINT NOT NULL
);

CREATE INDEX login_slots_mailbox ON login_slots (mailbox_id);

ALTER TABLE breakers DROP COLUMN pending;
