-- Wrong passwords for an address, whether somebody has it or not. The digest keeps a row
-- short however long the address is; rows go when their quarter of an hour is over.

CREATE TABLE attempt (
    digest bytea PRIMARY KEY,
    wrong  bigint NOT NULL,
    since  timestamptz NOT NULL
);

CREATE INDEX attempt_since ON attempt (since);
