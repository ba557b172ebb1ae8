ALTER TABLE callpipeline.rematches DROP COLUMN judges_all;
ALTER TABLE callpipeline.rematch_calls ADD COLUMN stage text
    CHECK (stage IN ('transcripts', 'competitor_mentions', 'competitor_sentiment'));
COMMENT ON COLUMN callpipeline.rematch_calls.stage IS
    'The first stage that a person asked to be computed again; null if the list has changed.';
