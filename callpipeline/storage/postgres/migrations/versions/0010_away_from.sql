ALTER TABLE callpipeline.calls ADD COLUMN away_from text;
COMMENT ON COLUMN callpipeline.calls.away_from IS
    'The service for which the call waits, as table outages names it; null where for none.';
CREATE INDEX calls_away_from ON callpipeline.calls (away_from) WHERE away_from IS NOT NULL;
ALTER TABLE callpipeline.outages ADD COLUMN asked_at timestamptz;
COMMENT ON COLUMN callpipeline.outages.asked_at IS
    'When a run was asked for a call that is to try the service; null when it has been tried since.';
ALTER TABLE callpipeline.unjudged ADD COLUMN away_from text;
ALTER TABLE callpipeline.unjudged ADD COLUMN away_since timestamptz;
COMMENT ON COLUMN callpipeline.unjudged.away_from IS
    'The service for which the mention waits, without losing a try; null where for none.';
