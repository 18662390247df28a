-- What the tenant's plan allows, and how much of it is used. `used` changes in the transaction that
-- creates or deletes a task, so the limit holds under any concurrency. Without a limit: NULL.

CREATE TABLE entitlement (
    feature text PRIMARY KEY,
    allowed bigint,
    used    bigint NOT NULL DEFAULT 0 CONSTRAINT entitlement_used_check CHECK (used >= 0)
);

-- The free plan, until billing says otherwise.
INSERT INTO entitlement (feature, allowed) VALUES ('tasks', 100);
