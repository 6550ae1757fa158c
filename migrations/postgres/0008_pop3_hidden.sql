CREATE TABLE pop3_hidden (
    grant_id TEXT NOT NULL REFERENCES grants (id),
    validity BIGINT NOT NULL,
    first_uid BIGINT NOT NULL,
    last_uid BIGINT NOT NULL,
    PRIMARY KEY (grant_id, validity, first_uid, last_uid)
);
