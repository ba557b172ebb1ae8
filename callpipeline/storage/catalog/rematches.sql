-- name: is_stale
-- Fragment: a stage row of mentions that another catalog or other rules made. Written as ranges, so
-- that an index finds the few that are.
(s.stage = 'competitor_mentions' AND (
    s.catalog_version < %(catalog_version)s OR s.catalog_version > %(catalog_version)s
    OR s.catalog_version IS NULL OR s.rule_version IS NULL
    OR s.catalog_version = %(catalog_version)s
       AND (s.rule_version < %(rule_version)s OR s.rule_version > %(rule_version)s)))

-- name: staleness
-- Count the completed calls by the versions that made their mentions: those that can be rematched,
-- and those whose transcripts were deleted. Calls that this version could not be applied to are
-- counted as failed.
SELECT s.catalog_version, s.rule_version, count(*) AS calls,
       count(*) FILTER (WHERE t.call_id IS NULL) AS unreachable,
       count(*) FILTER (WHERE t.call_id IS NOT NULL AND f.call_id IS NOT NULL) AS failed
FROM call_stages s JOIN calls c USING (call_id)
LEFT JOIN stored_stages t ON t.call_id = s.call_id AND t.stage = 'transcripts'
LEFT JOIN (rematch_calls f JOIN rematches r USING (rematch_id))
    ON f.call_id = s.call_id AND f.error IS NOT NULL
       AND r.catalog_version = %(catalog_version)s AND r.rule_version = %(rule_version)s
WHERE c.state = 'COMPLETED' AND
-- include rematches/is_stale
GROUP BY s.catalog_version, s.rule_version
ORDER BY s.catalog_version, s.rule_version;

-- name: stale_calls
-- List the completed calls that one version made, if they can be rematched and are not being
-- rematched or failed to.
SELECT s.call_id
FROM call_stages s JOIN calls c USING (call_id)
JOIN stored_stages t ON t.call_id = s.call_id AND t.stage = 'transcripts'
WHERE c.state = 'COMPLETED' AND s.stage = 'competitor_mentions'
  AND s.catalog_version IS NOT DISTINCT FROM %(made_by_version)s
  AND s.rule_version IS NOT DISTINCT FROM %(made_by_rules)s
  AND NOT EXISTS (
      SELECT FROM rematch_calls f JOIN rematches r USING (rematch_id)
      WHERE f.call_id = s.call_id AND f.error IS NOT NULL
        AND r.catalog_version = %(catalog_version)s AND r.rule_version = %(rule_version)s)
ORDER BY s.call_id;

-- name: versions_in_use
-- Count the completed calls with transcripts by the versions that made their mentions.
SELECT s.catalog_version, s.rule_version, count(*) AS calls
FROM call_stages s JOIN calls c USING (call_id)
JOIN stored_stages t ON t.call_id = s.call_id AND t.stage = 'transcripts'
WHERE c.state = 'COMPLETED' AND s.stage = 'competitor_mentions'
GROUP BY s.catalog_version, s.rule_version ORDER BY s.catalog_version, s.rule_version;

-- name: count_completed
-- Count the completed calls.
SELECT count(*) AS calls FROM calls WHERE state = 'COMPLETED';

-- name: clock
-- Return the time of the database.
SELECT clock_timestamp() AS now;

-- name: candidates
-- List texts of channels that may contain a name: those that match a pattern of ASCII letters, and
-- those with other letters or with symbols that are words. A name may go on in the next segment.
SELECT call_id, text
FROM (SELECT call_id, string_agg(text, ' ' ORDER BY segment_index) AS text FROM segments
      WHERE call_id = ANY(%(call_ids)s) GROUP BY call_id, channel) AS spoken
WHERE lower(text) ~ %(pattern)s OR text ~ '[^\x01-\x7f£€“”‘’…–—]|[&+]';

-- name: with_progress
-- Fragment: rematches with their progress. Deferred calls are among those that wait.
SELECT r.*, p.*
FROM rematches r CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE c.error IS NULL) AS waiting,
           count(*) FILTER (WHERE c.error IS NOT NULL) AS failed,
           count(*) FILTER (WHERE c.next_attempt_at > clock_timestamp()) AS deferred,
           min(c.next_attempt_at) FILTER (WHERE c.next_attempt_at > clock_timestamp())
               AS next_attempt_at,
           min(c.deferred_because) FILTER (WHERE c.next_attempt_at > clock_timestamp())
               AS deferred_because
    FROM rematch_calls c WHERE c.rematch_id = r.rematch_id
) AS p

-- name: open
-- Return the open rematch with its progress.
-- include rematches/with_progress
WHERE r.ended_at IS NULL;

-- name: last
-- Return the last rematch with its progress.
-- include rematches/with_progress
ORDER BY r.rematch_id DESC LIMIT 1;

-- name: supersede
-- End the open rematch, because another one takes its place. Calls that a person asked for stay.
WITH ended AS (
    UPDATE rematches SET ended_at = clock_timestamp(), outcome = 'superseded'
    WHERE ended_at IS NULL RETURNING rematch_id
)
DELETE FROM rematch_calls c USING ended WHERE c.rematch_id = ended.rematch_id AND c.stage IS NULL;

-- name: insert
-- Open a rematch.
INSERT INTO rematches (catalog_version, rule_version, reason, asked_by, calls, unaffected)
VALUES (%(catalog_version)s, %(rule_version)s, %(reason)s, %(asked_by)s, 0, %(unaffected)s)
RETURNING rematch_id;

-- name: insert_calls
-- Add the calls that a rematch computes; calls that failed before are tried again. A call that was
-- asked for twice is computed from the stage whose name is greater: transcripts, then sentiment, which
-- implies mentions.
INSERT INTO rematch_calls (call_id, rematch_id, stage)
SELECT call_id, %(rematch_id)s, a.stage
FROM unnest(%(call_ids)s::text[], %(stages)s::text[]) AS a (call_id, stage) JOIN calls USING (call_id)
WHERE state = 'COMPLETED'
ON CONFLICT (call_id) DO UPDATE SET
    rematch_id = excluded.rematch_id, error = NULL, deferrals = 0, next_attempt_at = NULL,
    deferred_because = NULL,
    stage = CASE WHEN rematch_calls.error IS NULL
                 THEN greatest(rematch_calls.stage, excluded.stage) ELSE excluded.stage END;

-- name: take_over
-- Add the calls that a person asked for and an earlier rematch has not computed.
UPDATE rematch_calls c SET rematch_id = %(rematch_id)s FROM rematches r, calls k
WHERE r.rematch_id = c.rematch_id AND r.ended_at IS NOT NULL AND c.stage IS NOT NULL
  AND c.error IS NULL AND k.call_id = c.call_id AND k.state = 'COMPLETED';

-- name: count_calls
-- Record how many calls a rematch computes.
UPDATE rematches SET calls = (SELECT count(*) FROM rematch_calls c
                              WHERE c.rematch_id = %(rematch_id)s AND c.error IS NULL)
WHERE rematch_id = %(rematch_id)s;

-- name: left_over
-- Return whether a person asked for calls that no open rematch will compute.
SELECT EXISTS (SELECT FROM rematch_calls c JOIN rematches r USING (rematch_id)
               JOIN calls k USING (call_id)
               WHERE r.ended_at IS NOT NULL AND c.stage IS NOT NULL AND c.error IS NULL
                 AND k.state = 'COMPLETED') AS any;

-- name: mark_current
-- Record that the results of calls hold under other versions, unless they were made since they
-- were examined.
UPDATE call_stages s SET
    catalog_version = %(catalog_version)s,
    rule_version = CASE WHEN s.stage = 'competitor_mentions' THEN %(rule_version)s::integer END
FROM call_stages m
WHERE s.call_id = ANY(%(call_ids)s) AND s.stage IN ('competitor_mentions', 'competitor_sentiment')
  AND m.call_id = s.call_id AND m.stage = 'competitor_mentions'
  AND m.stored_at <= %(examined_at)s
  AND m.catalog_version IS NOT DISTINCT FROM %(made_by_version)s
  AND m.rule_version IS NOT DISTINCT FROM %(made_by_rules)s;

-- name: todo
-- List calls that a rematch has to compute now, unless it is paused or has ended: those that are
-- transcribed again, or the others.
SELECT c.call_id, c.stage, c.deferrals
FROM rematch_calls c JOIN rematches r USING (rematch_id)
WHERE r.rematch_id = %(rematch_id)s AND r.ended_at IS NULL AND r.paused_at IS NULL
  AND c.error IS NULL AND c.call_id > %(after)s
  AND (c.next_attempt_at IS NULL OR c.next_attempt_at <= clock_timestamp())
  AND (c.stage IS NOT DISTINCT FROM 'transcripts') = %(transcribed)s
ORDER BY c.call_id LIMIT %(limit)s;

-- name: hand_over
-- Remove claimed calls from the rematch, or from one that has taken its place: from now on, they are
-- processed as other calls are.
DELETE FROM rematch_calls WHERE call_id = ANY(%(call_ids)s);

-- name: engines
-- List the engines of a stage in the order in which they were first used, with their calls.
SELECT m.engine, count(DISTINCT m.call_id) AS calls, min(s.stored_at) AS first_used
FROM (
-- include rematches/made_by
) AS m JOIN call_stages s ON s.call_id = m.call_id AND s.stage = %(stage)s
JOIN calls c ON c.call_id = m.call_id AND c.state = 'COMPLETED'
GROUP BY m.engine ORDER BY first_used, m.engine;

-- name: made_by
-- Fragment: the calls with the engines that made a stage.
SELECT call_id, engine FROM transcripts
WHERE %(stage)s = 'transcripts' AND engine <> 'supplied' AND word_count > 0
UNION SELECT call_id, engine FROM sentiment
WHERE %(stage)s = 'competitor_sentiment' AND engine <> 'pattern'
UNION SELECT call_id, coalesce(engine, 'rules') FROM call_stages
WHERE %(stage)s = 'competitor_mentions' AND stage = 'competitor_mentions'

-- name: selected
-- List the completed calls whose stage can be computed again: of a time, or made by some engines;
-- with the length of the recording, how long the stage took last time, and the mentions to judge.
SELECT c.call_id, coalesce(r.duration_s, 0) AS duration_s, s.took_s,
       (SELECT count(*) FROM mentions m
        WHERE m.call_id = c.call_id AND m.status = 'counted') AS mentions
FROM calls c JOIN call_stages s ON s.call_id = c.call_id AND s.stage = %(stage)s
JOIN stored_stages n ON n.call_id = c.call_id AND n.stage = %(needs)s
LEFT JOIN recordings r ON r.call_id = c.call_id
WHERE c.state = 'COMPLETED'
  AND (%(since)s::timestamptz IS NULL OR coalesce(c.started_at, c.last_modified) >= %(since)s)
  AND EXISTS (SELECT FROM (
-- include rematches/made_by
      ) AS m WHERE m.call_id = c.call_id
               AND (%(engines)s::text[] IS NULL OR m.engine = ANY(%(engines)s)))
ORDER BY c.call_id;

-- name: finish
-- End a rematch that has no call left to compute.
UPDATE rematches r SET ended_at = clock_timestamp(), outcome = 'done'
WHERE r.ended_at IS NULL
  AND NOT EXISTS (SELECT FROM rematch_calls c JOIN calls USING (call_id)
                  WHERE c.rematch_id = r.rematch_id AND c.error IS NULL
                    AND calls.state = 'COMPLETED')
RETURNING rematch_id;

-- name: pause
-- Pause the open rematch, or continue it.
UPDATE rematches SET paused_at = CASE WHEN %(paused)s THEN clock_timestamp() END,
                     paused_by = CASE WHEN %(paused)s THEN %(by)s::text END
WHERE ended_at IS NULL RETURNING rematch_id;

-- name: retry_failed
-- Forget failures and deferrals, so that these calls are rematched again now.
WITH asked AS (
    UPDATE rematch_calls SET error = NULL, deferrals = 0, next_attempt_at = NULL,
                             deferred_because = NULL
    WHERE stage IS NOT NULL AND (error IS NOT NULL OR next_attempt_at IS NOT NULL)
)
DELETE FROM rematch_calls WHERE error IS NOT NULL AND stage IS NULL;

-- name: save_failure
-- Record that a call could not be rematched.
UPDATE rematch_calls SET error = %(error)s, next_attempt_at = NULL, deferred_because = NULL
WHERE call_id = %(call_id)s AND rematch_id = %(rematch_id)s;

-- name: defer
-- Let a call wait until the judge may be back.
UPDATE rematch_calls SET deferrals = deferrals + 1, deferred_because = %(reason)s,
    next_attempt_at = clock_timestamp() + %(wait_s)s * interval '1 second'
WHERE call_id = %(call_id)s AND rematch_id = %(rematch_id)s AND error IS NULL;

-- name: defer_rest
-- Let the calls that are due for the same judge wait as long as those that it was away for.
UPDATE rematch_calls c SET
    deferred_because = d.deferred_because, next_attempt_at = d.next_attempt_at
FROM (SELECT deferred_because, next_attempt_at FROM rematch_calls
      WHERE rematch_id = %(rematch_id)s AND error IS NULL AND next_attempt_at > clock_timestamp()
      ORDER BY next_attempt_at LIMIT 1) AS d
WHERE c.rematch_id = %(rematch_id)s AND c.error IS NULL AND c.stage = 'competitor_sentiment'
  AND (c.next_attempt_at IS NULL OR c.next_attempt_at <= clock_timestamp());

-- name: skip
-- Drop calls that are no longer complete: the run that completes them applies the catalog in force.
DELETE FROM rematch_calls r USING calls c
WHERE r.rematch_id = %(rematch_id)s AND c.call_id = r.call_id AND c.state <> 'COMPLETED';

-- name: lock_call
-- Lock a completed call that the rematch has still to compute, if its transcripts and mentions are
-- those that were read. Of several runs, the first one to lock it removes it from the list.
SELECT 1 FROM calls c
JOIN rematch_calls r USING (call_id) JOIN rematches x USING (rematch_id)
JOIN call_stages t ON t.call_id = c.call_id AND t.stage = 'transcripts'
JOIN call_stages m ON m.call_id = c.call_id AND m.stage = 'competitor_mentions'
WHERE c.call_id = %(call_id)s AND c.state = 'COMPLETED' AND r.rematch_id = %(rematch_id)s
  AND x.ended_at IS NULL
  AND t.stored_at = %(transcribed_at)s AND m.stored_at = %(matched_at)s
FOR NO KEY UPDATE OF c;

-- name: stages
-- Return when the transcripts and the mentions of a call were stored.
SELECT t.stored_at AS transcribed_at, m.stored_at AS matched_at
FROM calls c
JOIN stored_stages t ON t.call_id = c.call_id AND t.stage = 'transcripts'
JOIN call_stages m ON m.call_id = c.call_id AND m.stage = 'competitor_mentions'
WHERE c.call_id = %(call_id)s AND c.state = 'COMPLETED';

-- name: reviews
-- List the last decision on each mention of a call.
SELECT DISTINCT ON (mention_id) mention_id, start_s, decision FROM reviews
WHERE call_id = %(call_id)s ORDER BY mention_id, review_id DESC;

-- name: keep_judgements
-- Keep the judgements of mentions that are about to change; without the corrections of people,
-- which apply again.
INSERT INTO replaced_judgements (call_id, mention_id, context, competitor, sentiment, score, rule,
                                 quote, engine, confidence, switching, switching_quote)
SELECT s.call_id, s.mention_id, k.context, s.competitor,
       coalesce(s.judged ->> 'sentiment', s.sentiment),
       coalesce((s.judged ->> 'score')::float8, s.score), coalesce(s.judged ->> 'rule', s.rule),
       s.quote, s.engine,
       CASE WHEN s.judged IS NULL THEN s.confidence ELSE (s.judged ->> 'confidence')::float8 END,
       s.switching, s.switching_quote
FROM unnest(%(mention_ids)s::text[], %(contexts)s::text[]) AS k (mention_id, context)
JOIN sentiment s ON s.call_id = %(call_id)s AND s.mention_id = k.mention_id
ON CONFLICT (call_id, mention_id, context) DO UPDATE SET
    competitor = excluded.competitor, sentiment = excluded.sentiment, score = excluded.score,
    rule = excluded.rule, quote = excluded.quote, engine = excluded.engine,
    confidence = excluded.confidence, switching = excluded.switching,
    switching_quote = excluded.switching_quote;

-- name: forget_judgements
-- Delete the judgements kept of a call, because all of its mentions are judged again.
DELETE FROM replaced_judgements WHERE call_id = %(call_id)s;

-- name: delete_sentiment
-- Delete the sentiment of mentions that changed.
WITH missing AS (
    DELETE FROM unjudged WHERE call_id = %(call_id)s AND mention_id = ANY(%(mention_ids)s)
), set_aside AS (
    DELETE FROM replaced_judgements
    WHERE call_id = %(call_id)s AND mention_id = ANY(%(mention_ids)s) AND context = 'dismissed'
)
DELETE FROM sentiment WHERE call_id = %(call_id)s AND mention_id = ANY(%(mention_ids)s);

-- name: forget_outdated
-- Delete the judgements of dismissed mentions that would be judged otherwise now.
DELETE FROM replaced_judgements
WHERE call_id = %(call_id)s AND mention_id = ANY(%(mention_ids)s) AND context = 'dismissed';

-- name: save
-- Record that a call has the results of a rematch, and remove it from its list.
WITH mentions_stage AS (
    UPDATE call_stages SET catalog_version = %(catalog_version)s,
        rule_version = %(rule_version)s, run_id = %(run_id)s,
        engine = %(mention_engine)s, stored_at = clock_timestamp()
    WHERE call_id = %(call_id)s AND stage = 'competitor_mentions'
), sentiment_stage AS (
    UPDATE call_stages SET catalog_version = %(catalog_version)s, run_id = %(run_id)s,
        engine = coalesce(%(engine)s, engine),
        stored_at = CASE WHEN %(engine)s::text IS NULL THEN stored_at ELSE clock_timestamp() END
    WHERE call_id = %(call_id)s AND stage = 'competitor_sentiment'
), touched AS (
    UPDATE calls SET updated_at = now() WHERE call_id = %(call_id)s AND %(is_changed)s
)
DELETE FROM rematch_calls WHERE call_id = %(call_id)s;

-- name: mentions
-- List the mentions of a call.
SELECT * FROM mentions WHERE call_id = %(call_id)s ORDER BY start_s, mention_id;

-- name: sentiment
-- List the judgements of a call.
SELECT * FROM sentiment WHERE call_id = %(call_id)s;

-- name: speech
-- List the channels of a call with their speech; none if the recording was never split.
SELECT h.channel, h.speech FROM channels h JOIN recordings USING (call_id)
WHERE h.call_id = %(call_id)s;

-- name: kept_judgements
-- List the judgements kept of mentions.
SELECT * FROM replaced_judgements
WHERE call_id = %(call_id)s AND mention_id = ANY(%(mention_ids)s);
