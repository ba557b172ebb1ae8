-- Keys of programs. Of a secret only its digest is kept; a revoked key stays, as a record.
CREATE TABLE api_keys (
    key_id         text PRIMARY KEY CHECK (key_id ~ '^[a-z2-7]{12}$'),
    name           text NOT NULL CHECK (name <> ''),
    secret_sha256  bytea NOT NULL CHECK (octet_length(secret_sha256) = 32),
    scopes         text[] NOT NULL
                   CHECK (scopes <@ ARRAY['upload', 'read', 'admin'] AND cardinality(scopes) > 0),
    created_at     timestamptz NOT NULL DEFAULT now(),
    created_by     text NOT NULL,
    expires_at     timestamptz,
    last_used_at   timestamptz,
    revoked_at     timestamptz,
    revoked_by     text
);
COMMENT ON COLUMN api_keys.last_used_at IS 'To a minute or so.';
COMMENT ON COLUMN api_keys.created_by IS 'Who ran the command, and on which machine.';

-- Logins of the web app. Of a cookie only its digest is kept.
CREATE TABLE web_sessions (
    session_sha256  bytea PRIMARY KEY CHECK (octet_length(session_sha256) = 32),
    user_name       text NOT NULL,
    password_mark   bytea NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    seen_at         timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz NOT NULL
);
CREATE INDEX web_sessions_by_end ON web_sessions (expires_at);
COMMENT ON COLUMN web_sessions.password_mark IS
    'Of the password that was set at the login, by the cookie: another password ends it.';
COMMENT ON COLUMN web_sessions.seen_at IS 'To a minute or so.';
