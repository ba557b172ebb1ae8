ALTER TABLE callpipeline.reading_mentions ADD COLUMN switching text;
COMMENT ON COLUMN callpipeline.reading_mentions.switching IS
    'The switching intent; null if there is none.';

CREATE OR REPLACE FUNCTION callpipeline.read_call_mentions(which text, mention text DEFAULT NULL)
RETURNS void LANGUAGE sql SET search_path = callpipeline AS $$
    INSERT INTO reading_mentions
    SELECT m.call_id, m.mention_id, c.day, c.agent, c.source, m.competitor, m.speaker,
           coalesce(s.sentiment, 'unjudged'), s.score, s.switching
    FROM mentions m JOIN reading_calls c USING (call_id)
    LEFT JOIN sentiment s USING (call_id, mention_id)
    WHERE m.call_id = which AND (mention IS NULL OR m.mention_id = mention)
      AND m.status = 'counted' AND c.state NOT IN ('DUPLICATE', 'ERASED')
$$;

CREATE OR REPLACE FUNCTION callpipeline.read_sentiment() RETURNS trigger LANGUAGE plpgsql
SET search_path = callpipeline AS $$
BEGIN
    UPDATE reading_mentions
    SET stance = CASE WHEN TG_OP = 'DELETE' THEN 'unjudged' ELSE NEW.sentiment END,
        score = CASE WHEN TG_OP <> 'DELETE' THEN NEW.score END,
        switching = CASE WHEN TG_OP <> 'DELETE' THEN NEW.switching END
    WHERE call_id = coalesce(NEW.call_id, OLD.call_id)
      AND mention_id = coalesce(NEW.mention_id, OLD.mention_id);
    RETURN NULL;
END
$$;

UPDATE callpipeline.reading_mentions r SET switching = s.switching
FROM callpipeline.sentiment s
WHERE s.call_id = r.call_id AND s.mention_id = r.mention_id AND s.switching IS NOT NULL;

CREATE INDEX reading_mentions_by_day ON callpipeline.reading_mentions (day, call_id)
    INCLUDE (agent, source, competitor, speaker, stance, score);
CREATE INDEX reading_mentions_switching ON callpipeline.reading_mentions (day DESC, switching)
    WHERE switching IS NOT NULL;
