CREATE TABLE callpipeline.web_users (
    user_name      text PRIMARY KEY CHECK (user_name <> ''),
    role           text NOT NULL CHECK (role IN ('reader', 'user', 'admin')),
    password_hash  text NOT NULL CHECK (password_hash LIKE 'scrypt:%'),
    is_enabled     boolean NOT NULL DEFAULT true,
    made_by        text NOT NULL,
    made_at        timestamptz NOT NULL DEFAULT now(),
    changed_by     text NOT NULL,
    changed_at     timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE callpipeline.web_users IS
    'Users who are managed in the app, beside those of the settings. Passwords are hashed.';
COMMENT ON COLUMN callpipeline.web_users.is_enabled IS 'A disabled user cannot log in.';

CREATE TABLE callpipeline.source_scans (
    source      text PRIMARY KEY,
    scanned_at  timestamptz NOT NULL,
    listed_at   timestamptz,
    swept_at    timestamptz,
    found_at    timestamptz,
    listed      bigint NOT NULL DEFAULT 0,
    skipped     bigint NOT NULL DEFAULT 0,
    unsettled   bigint NOT NULL DEFAULT 0,
    unreadable  jsonb NOT NULL DEFAULT '{}',
    failure     text
);
COMMENT ON TABLE callpipeline.source_scans IS
    'When each source was last scanned. Counts are of the last scan that listed objects.';
COMMENT ON COLUMN callpipeline.source_scans.swept_at IS
    'When all objects of the source were last listed; null until then.';
COMMENT ON COLUMN callpipeline.source_scans.found_at IS 'When a new recording was last registered.';
COMMENT ON COLUMN callpipeline.source_scans.skipped IS 'Objects that are no recordings by name.';
COMMENT ON COLUMN callpipeline.source_scans.unsettled IS 'Objects that may still be written to.';
COMMENT ON COLUMN callpipeline.source_scans.unreadable IS
    'Numbers of objects that cannot be imported, by reason.';
COMMENT ON COLUMN callpipeline.source_scans.failure IS
    'Why the last scan failed or broke off; null if it did not.';
