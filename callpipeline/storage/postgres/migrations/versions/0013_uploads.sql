CREATE TABLE callpipeline.idempotent_requests (
    key_hash     text PRIMARY KEY,
    fingerprint  text NOT NULL,
    holder       text NOT NULL,
    held_until   timestamptz NOT NULL,
    answer       jsonb,
    begun_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idempotent_requests_by_age ON callpipeline.idempotent_requests (begun_at);
COMMENT ON TABLE callpipeline.idempotent_requests IS
    'Requests that may be sent again with the same Idempotency-Key, for two days.';
COMMENT ON COLUMN callpipeline.idempotent_requests.key_hash IS
    'SHA-256 of who asks, for what, and the key.';
COMMENT ON COLUMN callpipeline.idempotent_requests.fingerprint IS 'SHA-256 of what was asked.';
COMMENT ON COLUMN callpipeline.idempotent_requests.holder IS
    'Who works on it; until held_until nobody else does, unless it is answered.';
COMMENT ON COLUMN callpipeline.idempotent_requests.answer IS
    'What was answered; null while it is worked on.';
