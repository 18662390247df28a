-- A table that the laws about locks and rows write to.
CREATE TABLE counter (
    name  text PRIMARY KEY,
    value bigint NOT NULL DEFAULT 0
);
