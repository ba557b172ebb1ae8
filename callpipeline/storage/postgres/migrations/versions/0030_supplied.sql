ALTER TABLE callpipeline.transcripts ADD COLUMN flags jsonb NOT NULL DEFAULT '[]';
COMMENT ON COLUMN callpipeline.transcripts.flags IS
    'What was repaired or ignored in a supplied transcript: [{flag, detail, channel}].';

COMMENT ON COLUMN callpipeline.calls.metadata IS
    'Metadata from the recording''s name, a file beside it, its sender or a person: agent, customer, direction, …';

CREATE TABLE callpipeline.call_corrections (
    correction_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    call_id        text NOT NULL REFERENCES callpipeline.calls ON DELETE CASCADE,
    fields         jsonb NOT NULL,
    corrected_by   text,
    previous_day   date,
    corrected_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX call_corrections_by_call ON callpipeline.call_corrections (call_id, correction_id);
COMMENT ON TABLE callpipeline.call_corrections IS
    'What people corrected about a call. Rows are never changed; later ones have precedence.';
COMMENT ON COLUMN callpipeline.call_corrections.fields IS
    'Corrected values by field: agent, customer, started_at, …; null removes a field.';
COMMENT ON COLUMN callpipeline.call_corrections.previous_day IS
    'The day (UTC) of the call before its time was corrected; null if it was not.';
