-- What the tenant has bought, and what it uses.

-- One row, written when the tenant is created.
CREATE TABLE subscription (
    single     boolean PRIMARY KEY DEFAULT true CONSTRAINT subscription_single_check CHECK (single),
    plan       text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);

-- Counted from events. The cursor of the stream moves in the transaction that counts.
CREATE TABLE meter (
    feature text PRIMARY KEY,
    used    bigint NOT NULL DEFAULT 0
);

INSERT INTO meter (feature) VALUES ('tasks');
