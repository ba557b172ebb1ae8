CREATE TABLE callpipeline.sentiment_corrections (
    correction_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    call_id        text NOT NULL REFERENCES callpipeline.calls ON DELETE CASCADE,
    mention_id     text NOT NULL,
    start_s        double precision NOT NULL,
    sentiment      text CHECK (sentiment IN ('positive', 'neutral', 'negative', 'mixed')),
    corrected_by   text,
    corrected_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX sentiment_corrections_by_mention
    ON callpipeline.sentiment_corrections (call_id, mention_id, correction_id DESC);
COMMENT ON TABLE callpipeline.sentiment_corrections IS
    'Corrections of sentiment by people. The last one of a mention holds; none is changed or deleted.';
COMMENT ON COLUMN callpipeline.sentiment_corrections.start_s IS
    'Position of the mention: in another transcript, its id may belong to another word.';
COMMENT ON COLUMN callpipeline.sentiment_corrections.sentiment IS
    'The right sentiment; null if the judge''s holds again.';
ALTER TABLE callpipeline.sentiment ADD COLUMN judged jsonb;
COMMENT ON COLUMN callpipeline.sentiment.judged IS
    'The judgement that a person corrected: sentiment, score, rule, confidence; otherwise null.';
