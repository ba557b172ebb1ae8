-- Writers lock their call first, then write reading_calls, then reading_mentions. Taken in the same
-- order, these locks wait for them; taken later, the two would wait for each other. Calls can be read
-- meanwhile.
LOCK TABLE callpipeline.calls IN EXCLUSIVE MODE;
LOCK TABLE callpipeline.reading_calls IN SHARE MODE;
LOCK TABLE callpipeline.reading_mentions IN ACCESS EXCLUSIVE MODE;

COMMENT ON TABLE callpipeline.replaced_judgements IS
    'Sentiment that a rematch or a dismissal removed: undoing it gives exactly the same back.';
COMMENT ON COLUMN callpipeline.replaced_judgements.context IS
    'Hash of the segment and of the names that counted in it, or dismissed.';

-- Before the update, which would write each of them for each row.
DROP INDEX callpipeline.reading_mentions_by_competitor, callpipeline.reading_mentions_by_agent,
    callpipeline.reading_mentions_by_day, callpipeline.reading_mentions_switching;
ALTER TABLE callpipeline.reading_mentions ADD COLUMN state text, ADD COLUMN took_place_at timestamptz;
UPDATE callpipeline.reading_mentions m SET state = c.state, took_place_at = c.took_place_at
FROM callpipeline.reading_calls c WHERE c.call_id = m.call_id;
ALTER TABLE callpipeline.reading_mentions
    ALTER COLUMN state SET NOT NULL, ALTER COLUMN took_place_at SET NOT NULL;
COMMENT ON COLUMN callpipeline.reading_mentions.state IS 'The state of the call.';

CREATE OR REPLACE FUNCTION callpipeline.read_call_mentions(which text, mention text DEFAULT NULL)
RETURNS void LANGUAGE sql SET search_path = callpipeline AS $$
    INSERT INTO reading_mentions
    SELECT m.call_id, m.mention_id, c.day, c.agent, c.source, m.competitor, m.speaker,
           coalesce(s.sentiment, 'unjudged'), s.score, s.switching, c.state, c.took_place_at
    FROM mentions m JOIN reading_calls c USING (call_id)
    LEFT JOIN sentiment s USING (call_id, mention_id)
    WHERE m.call_id = which AND (mention IS NULL OR m.mention_id = mention)
      AND m.status = 'counted' AND c.state NOT IN ('DUPLICATE', 'ERASED')
$$;

CREATE OR REPLACE FUNCTION callpipeline.read_call() RETURNS trigger LANGUAGE plpgsql
SET search_path = callpipeline AS $$
DECLARE
    at timestamptz := coalesce(NEW.started_at, NEW.last_modified);
    before reading_calls;
    after reading_calls;
BEGIN
    SELECT * INTO before FROM reading_calls WHERE call_id = NEW.call_id;
    INSERT INTO reading_calls VALUES (
        NEW.call_id, NEW.state, NEW.created_at, at, (at AT TIME ZONE 'UTC')::date,
        lower(coalesce(NEW.metadata ->> 'agent', '')), NEW.metadata ->> 'agent', NEW.bucket,
        lower(NEW.key))
    ON CONFLICT (call_id) DO UPDATE SET
        state = excluded.state, created_at = excluded.created_at,
        took_place_at = excluded.took_place_at, day = excluded.day, agent = excluded.agent,
        agent_name = excluded.agent_name, source = excluded.source, name = excluded.name
    RETURNING * INTO after;
    IF before.call_id IS NOT NULL
       AND (before.day, before.agent, before.source, before.state IN ('DUPLICATE', 'ERASED'))
           <> (after.day, after.agent, after.source, after.state IN ('DUPLICATE', 'ERASED')) THEN
        DELETE FROM reading_mentions WHERE call_id = NEW.call_id;
        PERFORM read_call_mentions(NEW.call_id);
    ELSIF (before.state, before.took_place_at) <> (after.state, after.took_place_at) THEN
        UPDATE reading_mentions SET state = after.state, took_place_at = after.took_place_at
        WHERE call_id = NEW.call_id;
    END IF;
    RETURN NULL;
END
$$;

CREATE INDEX reading_calls_by_state ON callpipeline.reading_calls (state, took_place_at);
CREATE INDEX reading_mentions_by_competitor ON callpipeline.reading_mentions (competitor, call_id)
    INCLUDE (day, agent, source, speaker, stance, score, state, switching);
CREATE INDEX reading_mentions_by_agent ON callpipeline.reading_mentions (agent, call_id)
    INCLUDE (day, competitor, source, speaker, stance, score, state, switching);
CREATE INDEX reading_mentions_by_day
    ON callpipeline.reading_mentions (day DESC, took_place_at DESC, call_id DESC, mention_id DESC)
    INCLUDE (agent, source, competitor, speaker, stance, score, state, switching);
CREATE INDEX reading_mentions_by_competitor_day
    ON callpipeline.reading_mentions (competitor, day DESC, took_place_at DESC, call_id DESC, mention_id DESC)
    INCLUDE (agent, source, speaker, stance, score, state, switching);
CREATE INDEX reading_mentions_switching
    ON callpipeline.reading_mentions (day DESC, took_place_at DESC, call_id DESC, mention_id DESC)
    INCLUDE (switching, agent, source, competitor, speaker, stance, state)
    WHERE switching IS NOT NULL;
