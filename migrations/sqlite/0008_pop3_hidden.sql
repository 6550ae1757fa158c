CREATE TABLE pop3_hidden (
    grant_id TEXT NOT NULL REFERENCES grants (id),
    validity INTEGER NOT NULL,
    first_uid INTEGER NOT NULL,
    last_uid INTEGER NOT NULL,
    PRIMARY KEY (grant_id, validity, first_uid, last_uid)
) STRICT;
