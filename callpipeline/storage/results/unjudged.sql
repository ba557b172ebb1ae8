-- name: claim
-- Claim the mentions of a completed call that are due. The attempt counts whatever happens to the
-- run, and no other run claims them until the next one is due. Mentions without attempts left,
-- because runs died, are given up instead.
WITH call AS MATERIALIZED (
    SELECT call_id FROM calls WHERE call_id = %(call_id)s AND state = 'COMPLETED'
    FOR NO KEY UPDATE
)
UPDATE unjudged u SET
    asked_by = CASE WHEN u.tries <= %(most)s THEN %(run_id)s::text END,
    tries = CASE WHEN u.tries <= %(most)s THEN u.tries + 1 ELSE u.tries END,
    next_attempt_at = CASE WHEN u.tries <= %(most)s
        THEN now() + (%(waits_s)s::float[])[least(u.tries + 1, %(most)s)] * interval '1 second' END,
    updated_at = now()
FROM call, mentions m
WHERE u.call_id = call.call_id AND m.call_id = u.call_id AND m.mention_id = u.mention_id
  AND m.status = 'counted' AND (u.next_attempt_at <= now() OR u.next_attempt_at IS NOT NULL AND u.unavailable_service IS NOT NULL
       AND NOT EXISTS (SELECT FROM outages WHERE service = u.unavailable_service))
  AND EXISTS (SELECT FROM stored_stages s WHERE s.call_id = u.call_id AND s.stage = 'transcripts')
RETURNING u.mention_id, u.asked_by IS NOT NULL AS is_taken;

-- name: count
-- Count the unjudged mentions of completed calls: waiting (with the time of the first attempt)
-- and given up.
SELECT count(*) FILTER (WHERE u.next_attempt_at IS NOT NULL) AS waiting,
       count(DISTINCT u.call_id) FILTER (WHERE u.next_attempt_at IS NOT NULL) AS waiting_calls,
       min(u.next_attempt_at) AS next_at,
       count(*) FILTER (WHERE u.next_attempt_at IS NULL) AS given_up,
       count(DISTINCT u.call_id) FILTER (WHERE u.next_attempt_at IS NULL) AS given_up_calls
FROM unjudged u JOIN mentions m USING (call_id, mention_id) JOIN calls c USING (call_id)
WHERE m.status = 'counted' AND c.state = 'COMPLETED';

-- name: insert
-- Insert mentions that could not be judged. After a transient error the next attempt is
-- scheduled; mentions that need an unavailable service wait for its next probe.
INSERT INTO unjudged (call_id, mention_id, competitor, reason, error_class, transient, next_attempt_at,
                      unavailable_service, unavailable_since, tries)
SELECT %(call_id)s, u.mention_id, u.competitor, u.reason, u.error_class, u.transient,
       CASE WHEN u.unavailable_service IS NOT NULL THEN coalesce(o.retry_at, now())
            WHEN u.transient THEN now() + %(wait_s)s * interval '1 second' END,
       u.unavailable_service, CASE WHEN u.unavailable_service IS NOT NULL THEN now() END,
       CASE WHEN u.unavailable_service IS NOT NULL THEN 0 ELSE 1 END
FROM unnest(%(mention_id)s::text[], %(competitor)s::text[], %(reason)s::text[],
            %(error_class)s::text[], %(transient)s::boolean[], %(unavailable_service)s::text[])
     AS u (mention_id, competitor, reason, error_class, transient, unavailable_service)
LEFT JOIN outages o ON o.service = u.unavailable_service;

-- name: is_stored_by
-- Check whether a stage of a call was last stored by a run.
SELECT 1 FROM call_stages
WHERE call_id = %(call_id)s AND stage = %(stage)s AND run_id = %(run_id)s;

-- name: list
-- List the mentions of calls that are not judged yet, with the reasons.
SELECT u.call_id, u.mention_id, u.competitor, u.reason, u.error_class, u.transient, u.tries,
       u.next_attempt_at, u.updated_at
FROM unjudged u JOIN mentions m USING (call_id, mention_id)
WHERE u.call_id = ANY(%(call_ids)s) AND m.status = 'counted'
ORDER BY u.call_id, m.start_s, u.mention_id;

-- name: list_claimed
-- List the mentions of a call that a run has claimed. None are returned for a run that was
-- declared dead.
SELECT mention_id FROM unjudged
WHERE call_id = %(call_id)s AND asked_by = %(run_id)s
  AND EXISTS (SELECT FROM runs WHERE run_id = %(run_id)s);

-- name: list_due
-- List completed calls with mentions that are due for judging, fewest attempts first. Of the
-- calls that wait for an unavailable service one at a time is due, a different one at each probe.
WITH due AS (
    SELECT u.call_id, min(u.tries) AS tries, min(u.next_attempt_at) AS since,
           max(u.updated_at) AS updated_at, max(o.service) AS service, max(o.retry_at) AS retry_at,
           bool_or(o.service IS NULL) AS is_free
    FROM unjudged u JOIN mentions m USING (call_id, mention_id) JOIN calls c USING (call_id)
    LEFT JOIN outages o ON o.service = u.unavailable_service
    WHERE (u.next_attempt_at <= now() OR u.unavailable_service IS NOT NULL AND o.service IS NULL
               AND u.next_attempt_at IS NOT NULL)
      AND m.status = 'counted' AND c.state = 'COMPLETED'
      AND EXISTS (SELECT FROM stored_stages s
                  WHERE s.call_id = u.call_id AND s.stage = 'transcripts')
    GROUP BY u.call_id
)
SELECT call_id
FROM (SELECT *, row_number() OVER (PARTITION BY service ORDER BY updated_at, call_id) AS position
      FROM due) AS ordered
WHERE is_free OR retry_at <= now() AND position = 1
ORDER BY tries, since, call_id LIMIT %(limit)s;

-- name: lock_call
-- Lock the row of a completed call: claims and erasures wait, or came first.
SELECT 1 FROM calls WHERE call_id = %(call_id)s AND state = 'COMPLETED' FOR NO KEY UPDATE;

-- name: register_run
-- Register a run that will claim mentions. Without heartbeats it is declared dead.
INSERT INTO runs (run_id) VALUES (%(run_id)s)
ON CONFLICT (run_id) DO UPDATE SET heartbeat_at = now();

-- name: report_given_up
-- Report the mentions of a call that were given up in this transaction, once.
INSERT INTO outbox (kind, severity, group_key, subject, title, message, call_id, run_id, stage,
                    error_class, error_message, metadata)
SELECT 'mentions_unjudged', 'warning', 'mentions_unjudged:' || min(error_class),
       concat_ws(':', 'mentions_unjudged', call_id, %(run_id)s::text),
       'Mentions in a call could not be judged',
       'Competitors: ' || string_agg(DISTINCT competitor, ', ' ORDER BY competitor)
           || '. The call is complete without them.',
       call_id, %(run_id)s::text, 'competitor_sentiment', min(error_class), min(reason),
       jsonb_build_object('advice', 'Once the cause is fixed: `callpipeline retry ' || call_id || '`.')
FROM unjudged
WHERE call_id = %(call_id)s AND next_attempt_at IS NULL AND updated_at = now()
GROUP BY call_id
ON CONFLICT DO NOTHING;

-- name: reschedule
-- Record failed attempts to judge mentions. The next attempt was scheduled by the claim; it is
-- dropped after a permanent error or the last attempt. While a service is unavailable attempts
-- are not counted, until patience runs out, and the next one is due when the service is probed.
UPDATE unjudged u SET
    reason = n.reason, error_class = n.error_class, transient = n.transient, updated_at = now(),
    tries = CASE WHEN n.waits THEN u.tries - 1 ELSE u.tries END,
    next_attempt_at = CASE WHEN n.waits
                          THEN coalesce((SELECT retry_at FROM outages WHERE service = n.unavailable_service), now())
                      WHEN n.transient AND u.tries <= %(most)s THEN u.next_attempt_at END,
    unavailable_service = CASE WHEN n.waits THEN n.unavailable_service END,
    unavailable_since = CASE WHEN n.unavailable_service IS NOT NULL THEN coalesce(u.unavailable_since, now()) END
FROM (SELECT m.*, m.unavailable_service IS NOT NULL AND coalesce(now() - o.unavailable_since, interval '0')
                  < %(patience_s)s * interval '1 second' AS waits
      FROM unnest(%(mention_id)s::text[], %(reason)s::text[], %(error_class)s::text[],
                  %(transient)s::boolean[], %(unavailable_service)s::text[])
           AS m (mention_id, reason, error_class, transient, unavailable_service)
      JOIN unjudged o ON o.call_id = %(call_id)s AND o.mention_id = m.mention_id) AS n
WHERE u.call_id = %(call_id)s AND u.mention_id = n.mention_id AND u.asked_by = %(run_id)s;

-- name: retry_now
-- Schedule unjudged mentions of completed calls for now, at a person's request. Attempts count
-- from zero.
UPDATE unjudged u SET tries = 0, unavailable_since = NULL, next_attempt_at = now(), updated_at = now()
FROM calls c, mentions m
WHERE u.call_id = ANY(%(call_ids)s) AND c.call_id = u.call_id AND c.state = 'COMPLETED'
  AND m.call_id = u.call_id AND m.mention_id = u.mention_id AND m.status = 'counted'
  AND EXISTS (SELECT FROM stored_stages s WHERE s.call_id = u.call_id AND s.stage = 'transcripts')
RETURNING u.call_id;

-- name: save_judged
-- Record that mentions of a completed call were judged: they are no longer missing, the stage has
-- more work in it, and the call has changed, so that its day is counted again. An outage of a
-- service that was not needed in the end is dropped.
WITH no_longer_missing AS (
    DELETE FROM unjudged
    WHERE call_id = %(call_id)s AND asked_by = %(run_id)s AND mention_id = ANY(%(mention_ids)s)
    RETURNING unavailable_service
), dropped_outages AS (
    DELETE FROM outages o USING no_longer_missing WHERE o.service = no_longer_missing.unavailable_service
), stage AS (
    UPDATE call_stages SET run_id = %(run_id)s, took_s = took_s + %(took_s)s,
        stored_at = clock_timestamp()
    WHERE call_id = %(call_id)s AND stage = %(stage)s
)
UPDATE calls SET updated_at = now() WHERE call_id = %(call_id)s;
