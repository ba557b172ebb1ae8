CREATE TABLE callpipeline.time_zone (
    name        text NOT NULL,
    changed_at  timestamptz,
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row)
);
COMMENT ON TABLE callpipeline.time_zone IS 'The time zone in which days are counted: one row.';
COMMENT ON COLUMN callpipeline.time_zone.changed_at IS
    'When the zone last changed, null if never; daily marts from before are refreshed.';
INSERT INTO callpipeline.time_zone (name, changed_at) VALUES ('UTC', NULL);

-- `set_time_zone` replaces both functions by those of another zone. The name is a part of their
-- text, so that they can be inlined and indexed.
CREATE FUNCTION callpipeline.call_day(at timestamptz)
RETURNS date LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT (at AT TIME ZONE 'UTC')::date $$;
COMMENT ON FUNCTION callpipeline.call_day IS 'Return the day of a time, in the time zone of days.';
CREATE FUNCTION callpipeline.day_starts_at(day date)
RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT day::timestamp AT TIME ZONE 'UTC'
$$;
COMMENT ON FUNCTION callpipeline.day_starts_at IS
    'Return the first moment of a day, in the time zone of days.';

CREATE FUNCTION callpipeline.set_time_zone(zone text) RETURNS boolean LANGUAGE plpgsql
SET search_path = callpipeline SET lock_timeout = '5s' AS $$
DECLARE
    tries integer := 0;
BEGIN
    PERFORM now() AT TIME ZONE zone;  -- raises an error if the zone is unknown
    -- Writers lock their call first, then write reading_calls, then reading_mentions.
    LOCK TABLE calls IN EXCLUSIVE MODE;
    LOCK TABLE reading_calls, reading_mentions IN EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM time_zone WHERE name = zone) THEN
        RETURN false;
    END IF;
    -- Tombstones know only their day, and keep it: its marts are not to be counted again.
    UPDATE calls SET last_modified = call_day(coalesce(started_at, last_modified))::timestamp
                                     AT TIME ZONE zone
    WHERE state = 'ERASED';
    EXECUTE format($f$
        CREATE OR REPLACE FUNCTION call_day(at timestamptz)
        RETURNS date LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $b$ SELECT (at AT TIME ZONE %1$L)::date $b$;
        CREATE OR REPLACE FUNCTION day_starts_at(day date)
        RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $b$
            -- Where clocks go back over midnight, it comes twice: the day starts with the first.
            SELECT CASE WHEN ((day::timestamp AT TIME ZONE %1$L - interval '1 hour')
                              AT TIME ZONE %1$L)::date = day
                        THEN day::timestamp AT TIME ZONE %1$L - interval '1 hour'
                        ELSE day::timestamp AT TIME ZONE %1$L END
        $b$ $f$, zone);
    CREATE INDEX calls_by_new_day ON calls (call_day(coalesce(started_at, last_modified)));
    UPDATE reading_calls SET day = call_day(took_place_at) WHERE day <> call_day(took_place_at);
    UPDATE reading_mentions m SET day = c.day FROM reading_calls c
    WHERE c.call_id = m.call_id AND c.day <> m.day;
    UPDATE time_zone SET name = zone, changed_at = clock_timestamp();
    -- Readers would wait behind a lock that waits for one of them, and a reader that then writes
    -- would be in a deadlock with it: so this lock is tried without waiting.
    LOOP
        BEGIN
            LOCK TABLE calls IN ACCESS EXCLUSIVE MODE NOWAIT;
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            tries := tries + 1;
            IF tries >= 100 THEN
                RAISE;
            END IF;
            PERFORM pg_sleep(0.05);
        END;
    END LOOP;
    DROP INDEX calls_by_day;
    ALTER INDEX calls_by_new_day RENAME TO calls_by_day;
    RETURN true;
END
$$;
COMMENT ON FUNCTION callpipeline.set_time_zone IS
    'Count days in another time zone; return false if it is in use already.';

-- A function in a view is checked against the reader of the view.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'callpipeline_analyst') THEN
        GRANT EXECUTE ON FUNCTION callpipeline.call_day(timestamptz) TO callpipeline_analyst;
    END IF;
END
$$;

-- Our views name the day's expression; all else about them stays, and so do an operator's own.
DO $$
DECLARE
    old text := '\(\(?(COALESCE\(c\.started_at, c\.last_modified\)) AT TIME ZONE ''UTC''::text\)?\)::date';
    found text;
    view record;
BEGIN
    FOR view IN SELECT c.oid::regclass AS name, pg_get_viewdef(c.oid) AS body FROM pg_class c
                WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind = 'v'
                  AND c.relname IN ('agent_competitor', 'call_metrics', 'calls', 'channels',
                                    'competitor_daily', 'daily_agents', 'daily_calls',
                                    'daily_competitors', 'first_mention', 'mentions',
                                    'own_brand_comparisons', 'redactions', 'segments',
                                    'sentiment', 'sentiment_trend', 'share_of_voice', 'switching')
                  AND pg_get_viewdef(c.oid) LIKE '%AT TIME ZONE%' LOOP
        found := regexp_replace(view.body, old, 'callpipeline.call_day(\1)', 'g');
        IF found LIKE '%AT TIME ZONE%' THEN
            RAISE EXCEPTION 'the view % counts days in another way', view.name;
        END IF;
        EXECUTE format('CREATE OR REPLACE VIEW %s AS %s', view.name, found);
    END LOOP;
END
$$;
DROP INDEX callpipeline.calls_by_day;
CREATE INDEX calls_by_day
    ON callpipeline.calls (callpipeline.call_day(coalesce(started_at, last_modified)));

CREATE OR REPLACE FUNCTION callpipeline.read_call() RETURNS trigger LANGUAGE plpgsql
SET search_path = callpipeline AS $$
DECLARE
    at timestamptz := coalesce(NEW.started_at, NEW.last_modified);
    before reading_calls;
    after reading_calls;
BEGIN
    SELECT * INTO before FROM reading_calls WHERE call_id = NEW.call_id;
    INSERT INTO reading_calls VALUES (
        NEW.call_id, NEW.state, NEW.created_at, at, call_day(at),
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

COMMENT ON COLUMN callpipeline.call_corrections.previous_day IS
    'The day of the call before its time was corrected; null if it was not.';
DO $$
DECLARE
    each record;
BEGIN
    FOR each IN SELECT c.oid::regclass AS relation, a.attname,
                       replace(col_description(c.oid, a.attnum), ', UTC.', ', in the time zone of days.')
                           AS comment
                FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
                WHERE c.relnamespace IN ('analytics'::regnamespace, 'callpipeline'::regnamespace)
                  AND col_description(c.oid, a.attnum) LIKE '%, UTC.' LOOP
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', each.relation, each.attname, each.comment);
    END LOOP;
END
$$;
