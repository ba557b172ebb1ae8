-- What the pages read, narrow and without joins; kept by triggers, in the transaction of the change.
CREATE TABLE callpipeline.reading_calls (
    call_id        text PRIMARY KEY REFERENCES callpipeline.calls ON DELETE CASCADE,
    state          text NOT NULL,
    created_at     timestamptz NOT NULL,
    took_place_at  timestamptz NOT NULL,
    day            date NOT NULL,
    agent          text NOT NULL,
    agent_name     text,
    source         text NOT NULL,
    name           text NOT NULL,
    duration_s     double precision
) WITH (fillfactor = 85);
COMMENT ON TABLE callpipeline.reading_calls IS
    'What lists and numbers ask of calls; follows calls and recordings by triggers.';
COMMENT ON COLUMN callpipeline.reading_calls.agent IS 'In small letters; empty where nobody knows.';
COMMENT ON COLUMN callpipeline.reading_calls.agent_name IS 'The same as it is written.';
COMMENT ON COLUMN callpipeline.reading_calls.name IS 'The recording''s key, in small letters.';

CREATE TABLE callpipeline.reading_mentions (
    call_id     text NOT NULL,
    mention_id  text NOT NULL,
    day         date NOT NULL,
    agent       text NOT NULL,
    source      text NOT NULL,
    competitor  text NOT NULL,
    speaker     text NOT NULL,
    stance      text NOT NULL,
    score       double precision,
    PRIMARY KEY (call_id, mention_id),
    FOREIGN KEY (call_id, mention_id) REFERENCES callpipeline.mentions ON DELETE CASCADE
);
COMMENT ON TABLE callpipeline.reading_mentions IS
    'What numbers ask of the mentions that count; follows mentions, sentiment and calls by triggers.';
COMMENT ON COLUMN callpipeline.reading_mentions.stance IS 'Its sentiment, or unjudged.';

CREATE FUNCTION callpipeline.read_call_mentions(which text, mention text DEFAULT NULL)
RETURNS void LANGUAGE sql SET search_path = callpipeline AS $$
    INSERT INTO reading_mentions
    SELECT m.call_id, m.mention_id, c.day, c.agent, c.source, m.competitor, m.speaker,
           coalesce(s.sentiment, 'unjudged'), s.score
    FROM mentions m JOIN reading_calls c USING (call_id)
    LEFT JOIN sentiment s USING (call_id, mention_id)
    WHERE m.call_id = which AND (mention IS NULL OR m.mention_id = mention)
      AND m.status = 'accepted' AND c.state NOT IN ('DUPLICATE', 'ERASED')
$$;

CREATE FUNCTION callpipeline.read_call() RETURNS trigger LANGUAGE plpgsql
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
    END IF;
    RETURN NULL;
END
$$;
CREATE FUNCTION callpipeline.read_recording() RETURNS trigger LANGUAGE plpgsql
SET search_path = callpipeline AS $$
BEGIN
    UPDATE reading_calls SET duration_s = CASE WHEN TG_OP <> 'DELETE' THEN NEW.duration_s END
    WHERE call_id = coalesce(NEW.call_id, OLD.call_id);
    RETURN NULL;
END
$$;
CREATE FUNCTION callpipeline.read_mention() RETURNS trigger LANGUAGE plpgsql
SET search_path = callpipeline AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        DELETE FROM reading_mentions
        WHERE call_id = OLD.call_id AND mention_id = OLD.mention_id;
    END IF;
    PERFORM read_call_mentions(NEW.call_id, NEW.mention_id);
    RETURN NULL;
END
$$;
CREATE FUNCTION callpipeline.read_sentiment() RETURNS trigger LANGUAGE plpgsql
SET search_path = callpipeline AS $$
BEGIN
    UPDATE reading_mentions
    SET stance = CASE WHEN TG_OP = 'DELETE' THEN 'unjudged' ELSE NEW.sentiment END,
        score = CASE WHEN TG_OP <> 'DELETE' THEN NEW.score END
    WHERE call_id = coalesce(NEW.call_id, OLD.call_id)
      AND mention_id = coalesce(NEW.mention_id, OLD.mention_id);
    RETURN NULL;
END
$$;

INSERT INTO callpipeline.reading_calls
SELECT c.call_id, c.state, c.created_at, coalesce(c.started_at, c.last_modified),
       (coalesce(c.started_at, c.last_modified) AT TIME ZONE 'UTC')::date,
       lower(coalesce(c.metadata ->> 'agent', '')), c.metadata ->> 'agent', c.bucket, lower(c.key),
       r.duration_s
FROM callpipeline.calls c LEFT JOIN callpipeline.recordings r USING (call_id);
INSERT INTO callpipeline.reading_mentions
SELECT m.call_id, m.mention_id, c.day, c.agent, c.source, m.competitor, m.speaker,
       coalesce(s.sentiment, 'unjudged'), s.score
FROM callpipeline.mentions m JOIN callpipeline.reading_calls c USING (call_id)
LEFT JOIN callpipeline.sentiment s USING (call_id, mention_id)
WHERE m.status = 'accepted' AND c.state NOT IN ('DUPLICATE', 'ERASED');

CREATE INDEX reading_calls_by_age ON callpipeline.reading_calls (created_at DESC, call_id DESC);
CREATE INDEX reading_calls_by_time
    ON callpipeline.reading_calls (took_place_at DESC, call_id DESC);
-- Groups come in order and with all that is asked, so distinct calls are counted without sorting.
CREATE INDEX reading_mentions_by_competitor ON callpipeline.reading_mentions (competitor, call_id)
    INCLUDE (day, agent, source, speaker, stance, score);
CREATE INDEX reading_mentions_by_agent ON callpipeline.reading_mentions (agent, call_id)
    INCLUDE (day, competitor, source, speaker, stance, score);

-- Whoever looks for common words, or phrases, reads thousands of segments: their words are kept.
DROP INDEX callpipeline.segments_by_words;
ALTER TABLE callpipeline.segments ADD COLUMN lexemes tsvector
    GENERATED ALWAYS AS (to_tsvector('english', text)) STORED;
CREATE INDEX segments_by_words ON callpipeline.segments USING gin (lexemes);

CREATE TRIGGER read_call AFTER INSERT OR UPDATE OF
    state, created_at, started_at, last_modified, metadata, bucket, key
    ON callpipeline.calls FOR EACH ROW EXECUTE FUNCTION callpipeline.read_call();
CREATE TRIGGER read_recording AFTER INSERT OR UPDATE OF duration_s OR DELETE
    ON callpipeline.recordings FOR EACH ROW EXECUTE FUNCTION callpipeline.read_recording();
CREATE TRIGGER read_mention AFTER INSERT OR UPDATE
    ON callpipeline.mentions FOR EACH ROW EXECUTE FUNCTION callpipeline.read_mention();
CREATE TRIGGER read_sentiment AFTER INSERT OR UPDATE OR DELETE
    ON callpipeline.sentiment FOR EACH ROW EXECUTE FUNCTION callpipeline.read_sentiment();
