-- No CHECK on url: Postgres would write it into its log when one fails.
CREATE TABLE callpipeline.announced (
    call_id       text PRIMARY KEY REFERENCES callpipeline.calls ON DELETE CASCADE,
    identity      text NOT NULL,
    url           text,
    announced_at  timestamptz NOT NULL DEFAULT now(),
    fetched_at    timestamptz
);
CREATE INDEX announced_by_identity ON callpipeline.announced (identity);
CREATE INDEX announced_with_url ON callpipeline.announced (announced_at) WHERE url IS NOT NULL;
COMMENT ON TABLE callpipeline.announced IS 'Calls whose recording was announced by an address.';
COMMENT ON COLUMN callpipeline.announced.identity IS
    'A hash of the address and of the key that was sent with it: what is announced twice.';
COMMENT ON COLUMN callpipeline.announced.url IS
    'The address, which may be signed and so a secret; null as soon as the recording is kept.';
