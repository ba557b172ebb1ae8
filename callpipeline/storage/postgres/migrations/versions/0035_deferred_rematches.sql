ALTER TABLE callpipeline.rematch_calls
    ADD COLUMN deferrals integer NOT NULL DEFAULT 0,
    ADD COLUMN next_attempt_at timestamptz,
    ADD COLUMN deferred_because text;
COMMENT ON COLUMN callpipeline.rematch_calls.deferrals IS
    'Attempts that failed because the judge was away or overloaded.';
COMMENT ON COLUMN callpipeline.rematch_calls.next_attempt_at IS
    'When a deferred call is due again; null if it is due.';
COMMENT ON COLUMN callpipeline.rematch_calls.deferred_because IS
    'The error of the last deferred attempt; without words of the call.';
