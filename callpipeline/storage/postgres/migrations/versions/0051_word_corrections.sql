CREATE TABLE callpipeline.word_corrections (
    correction_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    call_id        text NOT NULL REFERENCES callpipeline.calls ON DELETE CASCADE,
    channel        text NOT NULL,
    start_s        double precision NOT NULL,
    end_s          double precision NOT NULL CHECK (end_s >= start_s),
    original       text NOT NULL,
    text           text NOT NULL CHECK (text <> ''),
    corrected_by   text,
    corrected_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX word_corrections_by_call ON callpipeline.word_corrections (call_id, correction_id);
COMMENT ON TABLE callpipeline.word_corrections IS
    'Words that people corrected, by their time: they hold for later transcripts too.';
COMMENT ON COLUMN callpipeline.word_corrections.original IS 'The words that were corrected.';
