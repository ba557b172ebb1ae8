-- name: call_columns
-- Columns of a CallSummary, from calls c and recordings r.
    c.call_id, c.key, c.bucket AS source, c.state, c.started_at,
    coalesce(c.started_at, c.last_modified) AS took_place_at, r.duration_s, c.metadata,
    coalesce(r.flags, '[]') || coalesce(
        (SELECT jsonb_agg(f) FROM transcripts t, jsonb_array_elements(t.flags) AS f
         WHERE t.call_id = c.call_id), '[]') AS flags,
    c.claimed_by, c.attempts, c.retries, c.error_stage,
    c.error_class, c.error_message, c.error_transient, c.duplicate_of, c.lane, c.next_attempt_at,
    c.unavailable_service, c.created_at, c.updated_at, c.completed_at,
    ARRAY(SELECT s.stage FROM stored_stages s WHERE s.call_id = c.call_id
          ORDER BY s.stored_at) AS stages

-- name: call_conditions
-- Conditions on reading_calls r; has_mention adds those on mentions.
    r.state = ANY(%(states)s) AND
    -- include reading/day_conditions
    AND (%(agent)s::text IS NULL OR r.agent = lower(%(agent)s))
    AND (%(source)s::text IS NULL OR r.source = %(source)s)
    AND (%(name_patterns)s::text[] IS NULL OR r.name LIKE ALL (%(name_patterns)s))
    /* AND has_mention */

-- name: call_detail
-- Select what lists do not show of a call.
SELECT c.size_bytes, r.container, r.codec, r.sample_rate_hz, r.channel_count
FROM calls c LEFT JOIN recordings r USING (call_id) WHERE c.call_id = %(call_id)s;

-- name: calls_by_agent
-- Count the filtered calls by agent; '' stands for calls without a known agent.
SELECT r.agent, min(r.agent_name) AS name, count(*) AS calls,
       count(*) FILTER (WHERE r.state = 'COMPLETED') AS completed,
       count(*) FILTER (WHERE r.state = 'FAILED') AS failed,
       coalesce(sum(r.duration_s), 0) / 3600 AS hours, min(r.day) AS first_day,
       max(r.day) AS last_day
FROM reading_calls r WHERE
    -- include reading/call_conditions
GROUP BY r.agent;

-- name: calls_by_id
-- Select calls by id, as lists show them.
SELECT
    -- include reading/call_columns
FROM calls c LEFT JOIN recordings r USING (call_id)
WHERE c.call_id = ANY(%(call_ids)s) ORDER BY c.created_at DESC, c.call_id DESC;

-- name: completed_mentions
-- Count the filtered mentions by competitor, those by customers and by agents, and the calls with
-- them; in a row without a competitor, those of all.
SELECT m.competitor, count(*) AS mentions, count(DISTINCT m.call_id) AS calls,
       count(*) FILTER (WHERE m.speaker = 'customer') AS by_customer,
       count(DISTINCT m.call_id) FILTER (WHERE m.speaker = 'customer') AS customer_calls,
       count(*) FILTER (WHERE m.speaker = 'agent') AS by_agent,
       count(DISTINCT m.call_id) FILTER (WHERE m.speaker = 'agent') AS agent_calls
FROM reading_mentions m WHERE
    -- include reading/mention_conditions
GROUP BY m.competitor
UNION ALL
SELECT NULL, 0, count(*), 0, 0, 0, 0
-- Hashing the calls is faster than sorting them for count(DISTINCT).
FROM (
    SELECT FROM reading_mentions m WHERE
    -- include reading/mention_conditions
    GROUP BY m.call_id
) AS naming;

-- name: competitors_of_calls
-- Count the mentions in calls by competitor, speaker and sentiment, in order of time.
SELECT m.call_id, m.competitor, m.speaker, m.stance, count(*) AS mentions, min(n.start_s) AS first_s
FROM reading_mentions m JOIN mentions n USING (call_id, mention_id)
WHERE m.call_id = ANY(%(call_ids)s)
GROUP BY m.call_id, m.competitor, m.speaker, m.stance ORDER BY m.call_id, first_s, m.competitor;

-- name: count_calls
-- Count the filtered calls.
SELECT count(*) AS calls FROM reading_calls r WHERE
    -- include reading/call_conditions
;

-- name: day_conditions
-- Conditions on the days of reading_calls r, written on the indexed time.
    (%(from_day)s::date IS NULL
     OR r.took_place_at >= day_starts_at(%(from_day)s::date))
    AND (%(to_day)s::date IS NULL
         OR r.took_place_at < day_starts_at(%(to_day)s::date + 1))

-- name: day_range
-- Select the first and last day of the filtered calls.
SELECT min(r.day) AS first_day, max(r.day) AS last_day FROM reading_calls r WHERE
    -- include reading/call_conditions
;

-- name: filter_options
-- Select each source and agent of calls in some states, with the first and last day.
SELECT source, agent, min(agent_name) AS agent_name, min(day) AS first_day, max(day) AS last_day
FROM reading_calls WHERE state = ANY(%(states)s) GROUP BY source, agent;

-- name: has_mention
-- Condition on calls r: the call has a filtered mention.
    EXISTS (SELECT FROM reading_mentions m WHERE m.call_id = r.call_id
            AND (%(competitors)s::text[] IS NULL OR m.competitor = ANY(%(competitors)s))
            AND (%(sentiment)s::text IS NULL OR m.stance = %(sentiment)s)
            AND (%(speaker)s::text IS NULL OR m.speaker = %(speaker)s) AND
            -- include reading/moment_conditions
    )

-- name: in_filtered_call
-- Condition on mentions m: the name of the call matches.
    EXISTS (SELECT FROM reading_calls r WHERE r.call_id = m.call_id
            AND (%(name_patterns)s::text[] IS NULL OR r.name LIKE ALL (%(name_patterns)s)))

-- name: is_transcript
-- Check whether an object is the transcript of a call. Transcripts of erased calls are excluded
-- at once.
SELECT EXISTS (
    SELECT FROM transcripts WHERE call_id = %(call_id)s AND object_key = %(key)s) AS is_transcript;

-- name: old_transcripts
-- List transcripts by their paths in the old system, which start with `prefix`, after a path. With
-- `newest`, the newest come first. Without its own side, a mono recording is on the left.
SELECT * FROM (
    SELECT t.call_id, t.object_key, s.stored_at,
           'transcripts/' || CASE WHEN c.bucket = %(imported)s THEN split_part(c.key, '/', 1)
                ELSE substr(c.call_id, 12, 8) || '-' || substr(c.call_id, 20, 4)
                     || '-8000-8000-0000' || replace(left(c.call_id, 10), '-', '') END
           || CASE WHEN t.channel IN ('right', '2') THEN '/right'
                   WHEN t.channel IN ('left', 'mixed', '1') THEN '/left' END || '_transcript.json'
           AS path
    FROM transcripts t JOIN calls c USING (call_id)
         JOIN stored_stages s ON s.call_id = t.call_id AND s.stage = 'transcripts'
    WHERE (%(call_id)s::text IS NULL OR t.call_id = %(call_id)s) AND c.state <> 'ERASED'
) AS listed
WHERE path IS NOT NULL AND starts_with(path, %(prefix)s) AND (%(after)s::text IS NULL OR path > %(after)s)
ORDER BY CASE WHEN %(newest)s THEN stored_at END DESC, path COLLATE "C" LIMIT %(limit)s;

-- name: imported_call
-- Find the call of a job of the old system.
SELECT call_id FROM calls
WHERE bucket = %(imported)s AND key >= %(job)s || '/' AND key < %(job)s || '0' LIMIT 1;

-- name: list_calls
-- List the filtered calls, newest first, after a cursor (`after_at`, `after_id`) or an offset.
WITH wanted AS (
    SELECT r.call_id, r.created_at FROM reading_calls r
    WHERE (%(after_id)s::text IS NULL
           OR (r.created_at, r.call_id) < (%(after_at)s::timestamptz, %(after_id)s)) AND
    -- include reading/call_conditions
    ORDER BY r.created_at DESC, r.call_id DESC LIMIT %(limit)s OFFSET %(skip)s
)
SELECT
    -- include reading/call_columns
FROM wanted w JOIN calls c USING (call_id) LEFT JOIN recordings r USING (call_id)
ORDER BY w.created_at DESC, w.call_id DESC;

-- name: list_changes
-- Select a change marker for each of these calls and for the newest calls.
WITH newest AS (
    SELECT call_id FROM reading_calls WHERE state <> 'ERASED'
    ORDER BY created_at DESC, call_id DESC LIMIT %(newest)s
), wanted AS (
    SELECT unnest(%(call_ids)s::text[]) AS call_id UNION TABLE newest
)
SELECT c.call_id, c.call_id IN (TABLE newest) AS is_new,
       c.state IN ('PENDING', 'PROCESSING') AS is_open,
       concat_ws(' ', c.state, c.updated_at,
                 (SELECT count(*) || ' ' || max(s.stored_at) FROM call_stages s
                  WHERE s.call_id = c.call_id)) AS mark
FROM calls c JOIN wanted USING (call_id)
ORDER BY c.created_at DESC, c.call_id DESC;

-- name: list_channels
-- List the channels of calls, with the object keys of their audio and transcripts.
SELECT h.call_id, h.channel, h.speaker, h.sample_rate_hz, h.duration_s, h.rms_dbfs, h.speech,
       h.object_key, t.object_key AS transcript_key, t.engine, t.language, t.word_count,
       t.confidence, t.reliable AS is_reliable, t.unheard_s
FROM channels h LEFT JOIN transcripts t USING (call_id, channel)
WHERE h.call_id = ANY(%(call_ids)s) ORDER BY h.call_id, h.channel;

-- name: list_competitors
-- List the competitors mentioned in calls by a loose index scan.
WITH RECURSIVE known AS (
    (SELECT competitor FROM reading_mentions ORDER BY competitor LIMIT 1)
    UNION ALL
    SELECT (SELECT m.competitor FROM reading_mentions m WHERE m.competitor > known.competitor
            ORDER BY m.competitor LIMIT 1)
    FROM known WHERE known.competitor IS NOT NULL
)
SELECT competitor FROM known WHERE competitor IS NOT NULL;

-- name: list_mentions
-- List the filtered mentions with their segments, newest call first.
WITH newest AS (
    SELECT m.call_id, m.mention_id, m.day, m.took_place_at FROM reading_mentions m
    WHERE (%(after_id)s::text IS NULL
           OR m.day <= call_day(%(after_at)s::timestamptz)
              AND (m.took_place_at, m.call_id, m.mention_id)
                  < (%(after_at)s::timestamptz, %(after_id)s, %(after_mention)s)) AND
    -- include reading/mention_conditions
    ORDER BY m.day DESC, m.took_place_at DESC, m.call_id DESC, m.mention_id DESC LIMIT %(limit)s
)
SELECT w.call_id, w.took_place_at, c.key, c.metadata ->> 'agent' AS agent,
    -- include reading/mention_columns
FROM newest w JOIN mentions m USING (call_id, mention_id) JOIN calls c USING (call_id)
LEFT JOIN sentiment s USING (call_id, mention_id)
LEFT JOIN unjudged u USING (call_id, mention_id)
LEFT JOIN segments g USING (call_id, channel, segment_index)
ORDER BY w.took_place_at DESC, w.call_id DESC, w.mention_id DESC;

-- name: mention_columns
-- Columns of a MentionDetail, from mentions m, sentiment s, unjudged u and segments g.
    m.mention_id, m.competitor, m.alias, m.text, m.channel, m.speaker, m.segment_index,
    m.char_start, m.char_end, m.start_s, m.end_s, m.confidence, m.status, m.reason, m.log_odds,
    m.phrase, s.sentiment, s.score, s.rule, s.quote,
    s.engine, u.reason AS not_judged_because, u.next_attempt_at, g.text AS segment_text,
    g.start_s AS segment_start_s, g.end_s AS segment_end_s,
    s.confidence AS sentiment_confidence, s.switching, s.switching_quote,
    s.judged ->> 'sentiment' AS judged_sentiment

-- name: mention_conditions
-- Conditions on reading_mentions m, which has only counted mentions of counted calls.
    (%(from_day)s::date IS NULL OR m.day >= %(from_day)s)
    AND (%(to_day)s::date IS NULL OR m.day <= %(to_day)s)
    AND (%(agent)s::text IS NULL OR m.agent = lower(%(agent)s))
    AND (%(source)s::text IS NULL OR m.source = %(source)s)
    AND (%(competitors)s::text[] IS NULL OR m.competitor = ANY(%(competitors)s))
    AND (%(sentiment)s::text IS NULL OR m.stance = %(sentiment)s)
    AND (%(speaker)s::text IS NULL OR m.speaker = %(speaker)s) AND
    -- include reading/moment_conditions
    /* AND in_state */
    /* AND in_filtered_call */

-- name: mention_counts
-- Counts of mentions m by sentiment and by speaker.
    count(*) AS mentions,
    count(*) FILTER (WHERE m.stance = 'positive') AS positive,
    count(*) FILTER (WHERE m.stance = 'neutral') AS neutral,
    count(*) FILTER (WHERE m.stance = 'negative') AS negative,
    count(*) FILTER (WHERE m.stance = 'mixed') AS mixed,
    count(*) FILTER (WHERE m.stance = 'unjudged') AS unjudged,
    count(*) FILTER (WHERE m.speaker = 'agent') AS by_agent,
    count(*) FILTER (WHERE m.speaker = 'customer') AS by_customer,
    avg(m.score) AS mean_score,
    avg(m.score) FILTER (WHERE m.speaker <> 'agent') AS customer_score,
    avg(m.score) FILTER (WHERE m.speaker = 'agent') AS agent_score

-- name: mentions_by_agent
-- Count the filtered mentions, and the calls with one, by agent.
SELECT m.agent, count(DISTINCT m.call_id) AS calls_with_mention,
    -- include reading/mention_counts
FROM reading_mentions m WHERE
    -- include reading/mention_conditions
GROUP BY m.agent;

-- name: mentions_by_competitor
-- Count the filtered mentions, and the calls with one, by competitor, with its share of voice.
SELECT m.competitor, count(DISTINCT m.call_id) AS calls,
    share_of_voice(count(*), sum(count(*)) OVER ()) AS share,
    -- include reading/mention_counts
FROM reading_mentions m WHERE
    -- include reading/mention_conditions
GROUP BY m.competitor ORDER BY mentions DESC, m.competitor;

-- name: mentions_by_day
-- Count the filtered mentions by day and sentiment.
SELECT m.day, m.stance, count(*) AS mentions FROM reading_mentions m WHERE
    -- include reading/mention_conditions
GROUP BY m.day, m.stance ORDER BY m.day, m.stance;

-- name: mentions_of_call
-- List the mentions of a call in order of time, with their segment and judgement.
SELECT
    -- include reading/mention_columns
FROM mentions m
LEFT JOIN sentiment s USING (call_id, mention_id)
LEFT JOIN unjudged u USING (call_id, mention_id)
LEFT JOIN segments g USING (call_id, channel, segment_index)
WHERE m.call_id = %(call_id)s ORDER BY m.start_s, m.mention_id;

-- name: mentions_over_time
-- Count the filtered mentions by time bucket and competitor (with its share of voice), by bucket
-- and sentiment, and by competitor. Buckets are `days` days long from `origin` on, or months.
WITH counted AS (
    SELECT CASE WHEN %(days)s = 0 THEN date_trunc('month', m.day::timestamp)::date
                ELSE %(origin)s::date + (m.day - %(origin)s::date) / %(days)s * %(days)s END
               AS since,
           m.competitor, m.stance, count(*) AS mentions, avg(m.score) AS mean_score
    FROM reading_mentions m WHERE
    -- include reading/mention_conditions
    GROUP BY GROUPING SETS ((1, 2), (1, 3), (2))
)
SELECT *, share_of_voice(mentions, sum(mentions) OVER (PARTITION BY since, competitor IS NULL))
              AS share
FROM counted ORDER BY since, mentions DESC, competitor, stance;

-- name: own_mentions
-- Count the mentions of the user's own names, which never count, by name.
SELECT competitor, count(*) AS mentions FROM mentions
WHERE competitor = ANY(%(names)s) AND coalesce(found_reason, reason) = %(reason)s
GROUP BY competitor;

-- name: metrics_of_call
-- Select the talk times of a call.
SELECT duration_s, agent_talk_s, customer_talk_s, unknown_talk_s, silence_s, longest_silence_s,
       overlap_s, speech_detector
FROM call_metrics WHERE call_id = %(call_id)s;

-- name: moment_conditions
-- Conditions on reading_mentions m: switching intents, and mentions by their ids.
    (%(switching)s::text[] IS NULL OR m.switching = ANY(%(switching)s))
    AND (%(moment_calls)s::text[] IS NULL
         OR m.call_id = ANY(%(moment_calls)s) AND (m.call_id, m.mention_id) IN (
            SELECT * FROM unnest(%(moment_calls)s::text[], %(moment_mentions)s::text[])))

-- name: queue_positions
-- Count the calls ahead of each of these calls in the order of calls/assign_batch, lane by lane,
-- with assigned calls first. Calls that are not due yet have no position.
WITH waiting AS (
    SELECT call_id, row_number() OVER (
               PARTITION BY lane
               ORDER BY batch_id IS NULL, batched_at, priority DESC, created_at, call_id) - 1
           AS ahead
    FROM calls
    WHERE state = 'PENDING'
      AND (batch_id IS NOT NULL
           OR unavailable_service IS NULL AND (next_attempt_at IS NULL OR next_attempt_at <= now()))
)
SELECT call_id, ahead FROM waiting WHERE call_id = ANY(%(call_ids)s);

-- name: runs_of_calls
-- Select the run that has claimed each of these calls, or that stored its last stage.
SELECT c.call_id, coalesce(c.claimed_by, (
           SELECT s.run_id FROM call_stages s WHERE s.call_id = c.call_id
           ORDER BY s.stored_at DESC LIMIT 1)) AS run_id
FROM calls c WHERE c.call_id = ANY(%(call_ids)s);

-- name: segments
-- List the segments of a call in order of time.
SELECT segment_index, start_s, end_s, channel, speaker, text, voice, voice_confidence
FROM segments WHERE call_id = %(call_id)s ORDER BY start_s, channel, segment_index;

-- name: stages_of_call
-- List the stored stages of a call with time, engine and seconds of work.
SELECT s.stage, s.stored_at, t.engine, t.took_s, t.catalog_version, t.run_id
FROM stored_stages s JOIN call_stages t USING (call_id, stage)
WHERE s.call_id = %(call_id)s ORDER BY s.stored_at;

-- name: throughput
-- Count the calls that ended in the last hour, and take the median of the work of each stage.
SELECT s.stage, percentile_cont(0.5) WITHIN GROUP (ORDER BY s.took_s) AS took_s,
       (SELECT count(*) FROM calls WHERE first_ended_at > now() - interval '1 hour') AS ended
FROM unnest(%(stages)s::text[]) AS wanted (stage)
CROSS JOIN LATERAL (SELECT stage, took_s FROM call_stages WHERE stage = wanted.stage
                    ORDER BY stored_at DESC LIMIT %(recent)s) AS s
GROUP BY s.stage;

-- name: closed_days
-- List those of the days on which a call was deleted by retention. Their counts stay as they are.
SELECT DISTINCT day
FROM (SELECT call_id, call_day(coalesce(started_at, last_modified)) AS day
      FROM calls) AS c JOIN erasures e USING (call_id)
WHERE c.day = ANY(%(days)s) AND e.by_retention ORDER BY day;

-- name: daily_competitors
-- Select the counts of each competitor on some days, with its share of voice.
SELECT c.day, c.competitor, c.calls, c.mentions, c.by_customer, c.by_agent, c.positive, c.neutral,
       c.negative, c.mixed, c.mean_score, c.customer_score, c.agent_score, v.share_of_mentions,
       v.share_of_calls
FROM analytics.competitor_daily c JOIN analytics.share_of_voice v USING (day, competitor)
WHERE c.day = ANY(%(days)s) AND v.day = ANY(%(days)s)
ORDER BY c.day, c.competitor;

-- name: stage_durations
-- Select the seconds of work of each stage of each call of some days.
SELECT c.day, s.stage, s.took_s
FROM analytics.calls c JOIN call_stages s USING (call_id)
WHERE c.day = ANY(%(days)s);

-- name: stale_days
-- List the days with calls that ended, were linked, were erased or got another day after a time and
-- after the day was counted; all days if the time zone of days changed since. A minute is added for changes that were not yet committed then. Times in
-- the future are of a clock that was set back: they exclude nothing. Future days are listed as far as
-- a wrong time zone may put them; days with calls deleted by retention are not.
WITH scan AS MATERIALIZED (
    SELECT CASE WHEN %(since)s::timestamptz > now() THEN '-infinity' ELSE %(since)s::timestamptz END
           AS since
), changed AS (
    SELECT call_day(coalesce(started_at, last_modified)) AS day, updated_at
    FROM calls
    WHERE state IN ('COMPLETED', 'FAILED', 'DUPLICATE', 'ERASED')
      AND updated_at > (SELECT since FROM scan)
    UNION ALL
    SELECT previous_day, corrected_at FROM call_corrections
    WHERE previous_day IS NOT NULL AND corrected_at > (SELECT since FROM scan)
    UNION ALL
    SELECT counted.day, z.changed_at
    FROM time_zone z, (SELECT day FROM daily_calls UNION SELECT day FROM reading_calls
                       WHERE state IN ('COMPLETED', 'FAILED')) AS counted
    WHERE z.changed_at > (SELECT since FROM scan)
), stale AS (
    SELECT day, min(c.updated_at) AS first_changed_at, max(c.updated_at) AS last_changed_at
    FROM changed c LEFT JOIN daily_calls d USING (day)
    WHERE day BETWEEN %(first)s AND call_day(now()) + 2
      AND (d.made_at IS NULL OR d.made_at > now()
           OR c.updated_at > d.made_at - interval '1 minute')
    GROUP BY day
)
SELECT * FROM stale
WHERE NOT EXISTS (
    SELECT FROM calls c JOIN erasures e USING (call_id)
    WHERE e.by_retention
      AND call_day(coalesce(c.started_at, c.last_modified)) = stale.day)
ORDER BY day;

-- name: time_zone
-- Select the time zone of days.
SELECT name FROM time_zone;

-- name: set_time_zone
-- Count days in another time zone; select whether it is another.
SELECT set_time_zone(%(zone)s) AS is_changed;
