-- Who may use this workspace, and where they are signed in.

CREATE TABLE member (
    id            text PRIMARY KEY,
    email         text NOT NULL,
    -- The address in lower case: what makes a member unique, and the order of the list.
    email_key     text NOT NULL CONSTRAINT member_email_key_key UNIQUE,
    name          text NOT NULL,
    role          text NOT NULL CONSTRAINT member_role_check CHECK (role IN ('owner', 'member')),
    password_hash text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now()
);

-- One row for each refresh token that was ever given out and has not expired. The tokens of one
-- sign-in are a family: a token is used once, and makes the next one of its family.
CREATE TABLE refresh (
    digest     bytea PRIMARY KEY,
    family     text NOT NULL,
    member     text NOT NULL REFERENCES member ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);

CREATE INDEX refresh_family ON refresh (family);
CREATE INDEX refresh_member ON refresh (member, expires_at);
