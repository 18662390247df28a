-- A column of every type that a service can send and read.
CREATE TABLE everything (
    b boolean, i2 smallint, i4 integer, i8 bigint, f4 real, f8 double precision, n numeric, t text, by bytea,
    tz timestamptz, ts timestamp, d date, u uuid, j json, jb jsonb, ia bigint[], ta text[], na numeric[]
);
