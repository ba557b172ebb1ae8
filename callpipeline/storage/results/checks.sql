-- name: backlog
-- Count calls of the live lane that wait for a run and those that wait since before a time, with
-- the longest wait and the newest of these calls.
WITH waiting AS (
    SELECT call_id, greatest(created_at, next_attempt_at) AS since FROM calls
    WHERE state = 'PENDING' AND lane = 'live'
      AND (next_attempt_at IS NULL OR next_attempt_at <= %(now)s)
)
SELECT count(*) AS looked, count(*) FILTER (WHERE since < %(long_before)s) AS found,
       min(since) AS oldest_at,
       (SELECT coalesce(jsonb_agg(n ORDER BY n.since DESC, n.call_id), '[]')
        FROM (SELECT * FROM waiting WHERE since < %(long_before)s
              ORDER BY since DESC, call_id LIMIT %(most)s) AS n) AS newest
FROM waiting;

-- name: failures
-- Count calls that ended since a time, those that failed, and those that failed for another
-- reason than an unavailable engine, with the reasons and the newest failures.
WITH ended AS (
    SELECT call_id, state, completed_at, error_stage AS stage,
           coalesce(error_class, 'an unknown error') AS error
    FROM calls
    -- The condition on updated_at is redundant, but has an index.
    WHERE state IN ('COMPLETED', 'FAILED') AND updated_at >= %(since)s AND completed_at >= %(since)s
), failed AS (
    SELECT * FROM ended WHERE state = 'FAILED'
)
SELECT (SELECT count(*) FROM ended) AS looked, count(*) AS found,
       count(*) FILTER (WHERE error <> %(away)s) AS otherwise,
       (SELECT coalesce(jsonb_agg(r ORDER BY r.calls DESC, r.stage, r.error), '[]')
        FROM (SELECT stage, error, count(*) AS calls FROM failed GROUP BY stage, error
              ORDER BY calls DESC, stage, error LIMIT %(most)s) AS r) AS reasons,
       (SELECT coalesce(jsonb_agg(n ORDER BY n.completed_at DESC, n.call_id), '[]')
        FROM (SELECT * FROM failed ORDER BY completed_at DESC, call_id LIMIT %(most)s) AS n)
           AS newest
FROM failed;

-- name: outdated
-- Count the completed calls, and those that have results of an older competitor list or older rules
-- although the list is in force since a time, with the newest of these. Calls whose transcripts
-- were deleted stay on their list.
WITH current AS (
    SELECT version FROM catalog_changes ORDER BY change_id DESC LIMIT 1
), outdated AS (
    SELECT s.call_id, s.stored_at, s.catalog_version, s.rule_version
    FROM current CROSS JOIN call_stages s JOIN calls c USING (call_id)
    JOIN stored_stages t ON t.call_id = s.call_id AND t.stage = 'transcripts'
    WHERE s.stage = 'competitor_mentions' AND c.state = 'COMPLETED'
      AND (s.catalog_version, s.rule_version) IS DISTINCT FROM (current.version, %(rule_version)s)
)
SELECT (SELECT count(*) FROM calls WHERE state = 'COMPLETED') AS looked,
       (SELECT count(*) FROM outdated) AS found,
       (SELECT max(made_at) FROM catalog_changes) AS changed_at,
       (SELECT coalesce(jsonb_agg(n ORDER BY n.stored_at DESC, n.call_id), '[]')
        FROM (SELECT * FROM outdated ORDER BY stored_at DESC, call_id LIMIT %(most)s) AS n)
           AS newest;

-- name: recordings
-- Count recordings split since a time, those with a flag that marks a problem, and those with one
-- that loses speech or speakers, with the count of each flag and the newest recordings.
WITH split AS (
    SELECT s.call_id, s.stored_at,
           ARRAY(SELECT DISTINCT f ->> 'flag' FROM jsonb_array_elements(r.flags) AS f ORDER BY 1)
               AS flags
    FROM call_stages s JOIN recordings r USING (call_id)
    WHERE s.stage = 'channel_audio' AND s.stored_at >= %(since)s
)
SELECT count(*) AS looked, count(*) FILTER (WHERE flags && %(wrong)s::text[]) AS found,
       count(*) FILTER (WHERE flags && %(grave)s::text[]) AS grave,
       (SELECT coalesce(jsonb_object_agg(flag, calls), '{}')
        FROM (SELECT flag, count(*) AS calls FROM split, unnest(flags) AS flag GROUP BY flag) AS f)
           AS flags,
       (SELECT coalesce(jsonb_agg(n ORDER BY n.stored_at DESC, n.call_id), '[]')
        FROM (SELECT * FROM split WHERE flags && %(wrong)s::text[]
              ORDER BY stored_at DESC, call_id LIMIT %(most)s) AS n) AS newest
FROM split;

-- name: reliability
-- Count transcripts with words stored since a time and those that are unreliable, with the newest
-- of these and the mean confidence.
WITH made AS (
    SELECT s.call_id, s.stored_at, t.channel, t.engine, t.confidence, t.reliable
    FROM call_stages s JOIN transcripts t USING (call_id)
    WHERE s.stage = 'transcripts' AND s.stored_at >= %(since)s AND t.word_count > 0
)
SELECT count(*) AS looked, count(*) FILTER (WHERE NOT reliable) AS found,
       avg(confidence) AS confidence,
       (SELECT coalesce(jsonb_agg(n ORDER BY n.stored_at DESC, n.call_id, n.channel), '[]')
        FROM (SELECT * FROM made WHERE NOT reliable
              ORDER BY stored_at DESC, call_id, channel LIMIT %(most)s) AS n) AS newest
FROM made;

-- name: sparse_transcripts
-- Count calls transcribed since a time, and list the channels with long speech and few words (or
-- none), newest first.
WITH transcribed AS (
    SELECT call_id, stored_at FROM call_stages
    WHERE stage = 'transcripts' AND stored_at >= %(since)s
), few AS MATERIALIZED (
    -- Speech is no longer than the channel: most channels are excluded before their speech is
    -- summed up, which saves 0.1 s for 10,000 calls.
    SELECT d.call_id, d.stored_at, h.channel, h.speech, coalesce(t.word_count, 0) AS words
    FROM transcribed d JOIN channels h USING (call_id)
         LEFT JOIN transcripts t USING (call_id, channel)
    WHERE (coalesce(t.word_count, 0) = 0) = %(wordless)s
      AND coalesce(t.word_count, 0) < h.duration_s * %(words_per_s)s
), spoken AS MATERIALIZED (
    SELECT call_id, stored_at, channel, words,
           (SELECT sum((i ->> 1)::float - (i ->> 0)::float)
            FROM jsonb_array_elements(speech) AS i) AS speech_s
    FROM few
), found AS (
    SELECT * FROM spoken
    WHERE speech_s >= %(least_speech_s)s AND words < speech_s * %(words_per_s)s
)
SELECT (SELECT count(*) FROM transcribed) AS looked,
       (SELECT count(DISTINCT call_id) FROM found) AS found,
       (SELECT coalesce(jsonb_agg(n ORDER BY n.stored_at DESC, n.call_id, n.channel), '[]')
        FROM (SELECT * FROM found ORDER BY stored_at DESC, call_id, channel LIMIT %(most)s) AS n)
           AS newest;

-- name: unheard_speech
-- Count calls whose unheard speech was measured since a time, and list the channels with more than
-- the limit, newest first. Channels without any word are listed by sparse_transcripts if their
-- speech is long, and here if it is short.
WITH measured AS (
    SELECT s.call_id, s.stored_at, t.channel, t.engine, t.unheard_s, t.word_count AS words
    FROM call_stages s JOIN transcripts t USING (call_id)
    WHERE s.stage = 'transcripts' AND s.stored_at >= %(since)s AND t.unheard_s IS NOT NULL
), found AS (
    SELECT * FROM measured
    WHERE unheard_s > %(max_unheard_s)s AND (words > 0 OR unheard_s < %(wordless_s)s)
)
SELECT (SELECT count(DISTINCT call_id) FROM measured) AS looked,
       (SELECT count(DISTINCT call_id) FROM found) AS found,
       (SELECT coalesce(jsonb_agg(n ORDER BY n.stored_at DESC, n.call_id, n.channel), '[]')
        FROM (SELECT * FROM found ORDER BY stored_at DESC, call_id, channel LIMIT %(most)s) AS n)
           AS newest;

-- name: unmentioned
-- Count the competitors of the current catalog (used by the last call) and the calls completed
-- since a time, and list the competitors without a mention in these calls although they were in
-- the catalog all that time, by their last mention.
WITH entries AS (
    SELECT DISTINCT entry
    FROM catalog_versions, jsonb_array_elements(content -> 'competitors') AS e (entry)
    WHERE version = (SELECT catalog_version FROM call_stages
                     WHERE stage = 'competitor_mentions' ORDER BY stored_at DESC LIMIT 1)
), known AS (
    -- A changed entry counts as new: its aliases may have been corrected.
    SELECT entry, min(created_at) AS since
    FROM catalog_versions, jsonb_array_elements(content -> 'competitors') AS e (entry)
    GROUP BY entry
), heard AS (
    SELECT DISTINCT m.competitor AS name FROM calls c JOIN mentions m USING (call_id)
    WHERE c.created_at >= %(month_ago)s AND m.status = 'counted'
), unheard AS (
    SELECT entry ->> 'name' AS name, since,
           (SELECT max(c.created_at) FROM mentions m JOIN calls c USING (call_id)
            WHERE m.competitor = entry ->> 'name' AND m.status = 'counted') AS heard_at
    FROM entries JOIN known USING (entry)
    WHERE since <= %(month_ago)s AND entry ->> 'name' NOT IN (SELECT name FROM heard)
)
SELECT (SELECT count(*) FROM entries) AS looked, count(*) AS found,
       (SELECT count(*) FROM calls
        WHERE created_at >= %(month_ago)s AND state = 'COMPLETED') AS calls,
       coalesce(jsonb_agg(u ORDER BY u.heard_at DESC NULLS LAST, u.name), '[]') AS names
FROM unheard AS u;
