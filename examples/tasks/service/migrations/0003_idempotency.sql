-- Answers to requests that carried an `Idempotency-Key`, so that a repetition gets the first answer.
-- Rows older than a day are removed when a member uses the next key.

CREATE TABLE idempotency (
    member      text NOT NULL,
    key         text NOT NULL,
    fingerprint text NOT NULL,
    answer      text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (member, key)
);

CREATE INDEX idempotency_age ON idempotency (created_at);
