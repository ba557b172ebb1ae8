-- name: beat
-- Record a heartbeat of a run.
UPDATE runs SET heartbeat_at = now() WHERE run_id = %(run_id)s RETURNING run_id;

-- name: assign_batch
-- Assign pending calls of a lane to a batch, by priority and then by age. A suspect call, whose
-- next lost run would be its last, gets a batch of its own: otherwise the calls next to it would
-- be lost with it. If the batch exists, return it unchanged: the connection may have been lost
-- after the commit. Of the calls that wait for an unavailable service, include one as a probe when
-- the service is due for a retry: each time another one, since it may be the call that breaks the
-- service. Calls that have waited longer than the patience are included as well.
WITH existing AS MATERIALIZED (
    SELECT call_id, priority FROM calls WHERE state = 'PENDING' AND batch_id = %(batch_id)s
), probes AS MATERIALIZED (
    SELECT o.service, (
        SELECT call_id FROM calls
        WHERE unavailable_service = o.service AND state = 'PENDING' AND batch_id IS NULL
          AND lane = %(lane)s AND (next_attempt_at IS NULL OR next_attempt_at <= now())
        ORDER BY priority DESC, updated_at, call_id LIMIT 1) AS call_id
    FROM outages o
    WHERE o.retry_at <= now()
      AND (o.probe_started_at IS NULL
           OR o.probe_started_at < now() - %(probe_timeout_s)s * interval '1 second')
), candidates AS MATERIALIZED (
    SELECT call_id, priority, created_at, attempts >= %(suspect_attempts)s AS suspect FROM calls
    WHERE state = 'PENDING' AND batch_id IS NULL AND lane = %(lane)s
      AND CASE WHEN unavailable_service IS NULL
               THEN next_attempt_at IS NULL OR next_attempt_at <= now()
               ELSE call_id IN (SELECT call_id FROM probes)
                    OR unavailable_since < now() - %(patience_s)s * interval '1 second'
                    OR NOT EXISTS (SELECT FROM outages WHERE service = unavailable_service) END
      AND NOT EXISTS (SELECT FROM existing)
    ORDER BY priority DESC, created_at, call_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), first AS (
    SELECT call_id, suspect FROM candidates ORDER BY priority DESC, created_at, call_id LIMIT 1
), assigned AS (
    UPDATE calls SET batch_id = %(batch_id)s, batched_at = now(), updated_at = now()
    FROM candidates, first
    WHERE calls.call_id = candidates.call_id
      AND CASE WHEN first.suspect THEN candidates.call_id = first.call_id
               ELSE NOT candidates.suspect END
    RETURNING calls.call_id, calls.priority
), probed AS (
    UPDATE outages o SET probe_started_at = now() FROM probes JOIN assigned USING (call_id)
    WHERE o.service = probes.service
)
SELECT call_id, priority FROM assigned UNION ALL SELECT call_id, priority FROM existing;

-- name: begin_attempt
-- Count an attempt of a run at a call that it holds.
UPDATE calls SET attempts = attempts + 1, updated_at = now()
WHERE call_id = %(call_id)s AND claimed_by = %(run_id)s AND state = 'PROCESSING'
RETURNING attempts;

-- name: find_by_content
-- Return the call that owns a content hash, also if it was erased. A call does not own its content
-- if it failed for a reason that may not affect another copy.
SELECT call_id FROM contents JOIN calls USING (call_id)
WHERE contents.sha256 = %(sha256)s
  AND NOT (state = 'FAILED' AND (error_transient OR error_class = 'MissingObject'));

-- name: find_waiting_recording
-- Return the waiting call that owns a content hash, and the key of its recording in this bucket.
SELECT call_id, key FROM contents JOIN calls USING (call_id)
WHERE contents.sha256 = %(sha256)s AND state = 'PENDING' AND bucket = %(bucket)s;

-- name: move_recording
-- Let a waiting call refer to another object with the same content.
UPDATE calls
SET key = %(key)s, etag = %(etag)s, size_bytes = %(size_bytes)s,
    last_modified = %(last_modified)s, updated_at = now()
WHERE call_id = %(call_id)s AND state = 'PENDING'
  AND NOT EXISTS (
      SELECT FROM calls AS other
      WHERE other.bucket = %(bucket)s AND other.key = %(key)s AND other.etag = %(etag)s)
RETURNING call_id;

-- name: move_object
-- Let the calls of an object refer to its copy in another store.
UPDATE calls SET bucket = %(to_bucket)s, etag = %(to_etag)s, last_modified = %(last_modified)s
WHERE bucket = %(bucket)s AND key = %(key)s AND etag = %(etag)s;

-- name: move_bucket
-- Rename a bucket, for calls whose objects are unchanged there.
UPDATE calls SET bucket = %(to_bucket)s WHERE bucket = %(bucket)s;

-- name: earlier_versions
-- Return the calls of earlier, shorter versions of an object. The object of one that was never read
-- is gone, if the versions follow each other closely and do not begin differently.
SELECT c.call_id, c.size_bytes, c.sha256,
       c.sha256 IS NULL
           AND c.last_modified > %(last_modified)s - %(period_s)s * interval '1 second'
           AND
-- include calls/may_begin_alike
       AS is_gone
FROM calls c LEFT JOIN calls k ON k.call_id = %(call_id)s
WHERE c.bucket = %(bucket)s AND c.key = %(key)s AND c.call_id <> %(call_id)s
  AND c.size_bytes < %(size_bytes)s AND c.last_modified < %(last_modified)s
  AND c.state NOT IN ('DUPLICATE', 'ERASED')
ORDER BY c.last_modified;

-- name: may_begin_alike
-- Fragment: recordings that begin alike, as far as is known.
coalesce(c.beginning_sha256 = k.beginning_sha256, true)

-- name: later_versions
-- Return the calls of later versions of an object, and whether each continues this one: it is
-- longer, begins alike, and was written soon after.
SELECT c.call_id,
       c.size_bytes > %(size_bytes)s
           AND c.last_modified < %(last_modified)s + %(period_s)s * interval '1 second'
           AND
-- include calls/may_begin_alike
       AS continues
FROM calls c LEFT JOIN calls k ON k.call_id = %(call_id)s
WHERE c.bucket = %(bucket)s AND c.key = %(key)s AND c.call_id <> %(call_id)s
  AND c.last_modified > %(last_modified)s AND c.state NOT IN ('DUPLICATE', 'ERASED')
ORDER BY c.last_modified DESC;

-- name: pass_to_later_version
-- Make the call of a later version the owner of the content of an earlier one, and the original of
-- its duplicates. What people corrected holds for it, too.
WITH owned AS (
    UPDATE contents SET call_id = %(later)s WHERE call_id = %(call_id)s
), corrected AS (
    INSERT INTO call_corrections (call_id, fields, corrected_by, previous_day, corrected_at)
    SELECT %(later)s, fields, corrected_by, previous_day, corrected_at FROM call_corrections
    WHERE call_id = %(call_id)s ORDER BY correction_id
)
UPDATE calls SET duplicate_of = %(later)s WHERE duplicate_of = %(call_id)s;

-- name: supersede
-- End a call as the beginning of another one, whatever its state.
UPDATE calls SET
    state = 'DUPLICATE', duplicate_of = %(later)s, claimed_by = NULL, batch_id = NULL,
    batched_at = NULL, attempts = 0, retries = 0, idle_runs = 0, releases = 0,
    next_attempt_at = NULL, unavailable_since = NULL, unavailable_service = NULL,
    error_stage = NULL, error_class = NULL, error_message = NULL, error_transient = NULL,
    completed_at = coalesce(completed_at, now()), updated_at = now()
WHERE call_id = %(call_id)s AND state NOT IN ('DUPLICATE', 'ERASED');

-- name: find_by_name
-- Return calls whose recording has this file name or key, newest first.
SELECT call_id FROM calls
WHERE regexp_replace(key, '^.*/', '') = regexp_replace(%(name)s, '^.*/', '')
  AND (key = %(name)s OR strpos(%(name)s, '/') = 0)
ORDER BY created_at DESC LIMIT 2;

-- name: find_by_object
-- Return the call of an object.
SELECT call_id, duplicate_of FROM calls
WHERE bucket = %(bucket)s AND key = %(key)s AND etag = %(etag)s;

-- name: claim
-- Claim calls for a run, except erased calls, duplicates and those that another run holds.
-- Delete the records of stages to recompute, and keep the other stored stages.
-- Skip calls without a stored stage that the run requires and does not compute itself.
-- Revoke the mentions that a run took to retry their missing sentiment: its write will fail.
-- Reset the counters of a call that has ended: a person wants it processed again.
WITH beat AS (
    INSERT INTO runs (run_id) VALUES (%(run_id)s)
    ON CONFLICT (run_id) DO UPDATE SET heartbeat_at = now()
), claimed AS (
    UPDATE calls SET
        state = 'PROCESSING', claimed_by = %(run_id)s, batch_id = NULL, batched_at = NULL,
        next_attempt_at = NULL,
        attempts = CASE WHEN state IN ('PENDING', 'PROCESSING') THEN attempts ELSE 0 END,
        retries = CASE WHEN state IN ('PENDING', 'PROCESSING') THEN retries ELSE 0 END,
        unavailable_since = CASE WHEN state IN ('PENDING', 'PROCESSING') THEN unavailable_since END,
        unavailable_service = CASE WHEN state IN ('PENDING', 'PROCESSING')
                                   THEN unavailable_service END,
        releases = CASE WHEN state IN ('PENDING', 'PROCESSING') THEN releases ELSE 0 END,
        error_stage = NULL, error_class = NULL, error_message = NULL, error_transient = NULL,
        completed_at = NULL, updated_at = now()
    WHERE call_id = ANY(%(call_ids)s) AND state NOT IN ('DUPLICATE', 'ERASED')
      AND (claimed_by IS NULL OR claimed_by = %(run_id)s)
      AND (state = 'PENDING' OR NOT %(only_pending)s OR claimed_by = %(run_id)s)
      AND NOT EXISTS (
          SELECT FROM unnest(%(required)s::text[]) AS required (stage)
          WHERE NOT EXISTS (SELECT FROM stored_stages s
                            WHERE s.call_id = calls.call_id AND s.stage = required.stage))
    RETURNING call_id, bucket, key, etag, size_bytes, last_modified, agent_channel, duplicates,
              sha256
), revoked AS (
    UPDATE unjudged u SET asked_by = NULL FROM claimed
    WHERE u.call_id = claimed.call_id AND u.asked_by IS NOT NULL
), deleted AS (
    DELETE FROM call_stages s USING claimed
    WHERE s.call_id = claimed.call_id AND s.stage = ANY(%(recompute)s)
)
SELECT claimed.*,
       ARRAY(SELECT stage FROM stored_stages s
             WHERE s.call_id = claimed.call_id AND NOT s.stage = ANY(%(recompute)s)) AS stages_done
FROM claimed;

-- name: claiming_runs
-- Return the runs that hold calls, with the age of the last heartbeat in seconds. A run without a
-- heartbeat is as old as its last write.
SELECT run_id, extract(epoch FROM now() - max(heartbeat_at))::float AS heartbeat_age_s
FROM (
    SELECT run_id, heartbeat_at FROM runs
    UNION ALL
    SELECT claimed_by, updated_at FROM calls c
    WHERE claimed_by IS NOT NULL AND NOT EXISTS (SELECT FROM runs r WHERE r.run_id = c.claimed_by)
) AS known
GROUP BY run_id;

-- name: complete
-- Release a call whose stages the run has computed. The call is complete when every stage is
-- stored; otherwise it is pending until the others are. Add an outbox event if completed calls are
-- notified. Delete the outage of a service that the call waited for: the call completed without
-- it, so its address was changed.
WITH ended AS (
    UPDATE calls SET
        state = CASE WHEN stored.stages >= %(stage_count)s THEN 'COMPLETED' ELSE 'PENDING' END,
        completed_at = CASE WHEN stored.stages >= %(stage_count)s THEN now() END,
        claimed_by = NULL, attempts = 0, retries = 0, idle_runs = 0, releases = 0,
        unavailable_since = NULL, unavailable_service = NULL,
        priority = 0, updated_at = now()
    FROM (SELECT count(*) AS stages FROM call_stages WHERE call_id = %(call_id)s) AS stored,
         (SELECT unavailable_service AS service FROM calls WHERE call_id = %(call_id)s) AS waited
    WHERE call_id = %(call_id)s AND claimed_by = %(run_id)s AND state = 'PROCESSING'
    RETURNING call_id, state, waited.service
), unused AS (
    DELETE FROM outages o USING ended WHERE o.service = ended.service AND ended.state = 'COMPLETED'
), event AS (
    INSERT INTO outbox (kind, severity, group_key, call_id, run_id)
    SELECT 'call_completed', 'info', 'call_completed', call_id, %(run_id)s
    FROM ended WHERE state = 'COMPLETED' AND %(notify)s
)
SELECT state FROM ended;

-- name: completed_stages
-- Return the stages of completed calls that one of these runs stored.
SELECT s.run_id, s.call_id, s.stage FROM call_stages s JOIN calls c USING (call_id)
WHERE s.run_id = ANY(%(run_ids)s) AND c.state = 'COMPLETED'
ORDER BY s.stored_at;

-- name: count_by_state
-- Count calls by state.
SELECT state, count(*) AS calls FROM calls GROUP BY state ORDER BY state;

-- name: count_pending
-- Count pending calls by lane, with those that are delayed and the age in seconds of the oldest
-- that is due.
SELECT lane, count(*) AS calls,
       count(*) FILTER (WHERE next_attempt_at > now()) AS delayed,
       max(idle_runs) AS idle_runs,
       extract(epoch FROM now() - min(greatest(created_at, next_attempt_at)) FILTER (
           WHERE next_attempt_at IS NULL OR next_attempt_at <= now()))::float AS oldest_s
FROM calls WHERE state = 'PENDING' GROUP BY lane ORDER BY lane;

-- name: terminate_connections
-- Terminate the connections of dead runs: one that was stopped in the middle of a write would keep
-- its lock on the call and block the reclaim.
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user
  AND application_name = ANY(%(names)s) AND pid <> pg_backend_pid();

-- name: delete_run
-- Stop monitoring a run that ended normally.
DELETE FROM runs WHERE run_id = %(run_id)s;

-- name: fail
-- Fail a call, or schedule a retry. A transient error is retried once per element of
-- `retry_waits_s`. During the outage of a service, its calls wait `outage_wait_s` without using up
-- a retry, but no longer than `patience_s` in total. `unavailable_service` is set if the outage is
-- shared between runs. The run is alive, so its attempts are reset.
UPDATE calls SET
    state = CASE WHEN attempt.wait_s IS NULL THEN 'FAILED' ELSE 'PENDING' END,
    completed_at = CASE WHEN attempt.wait_s IS NULL THEN now() END,
    next_attempt_at = now() + attempt.wait_s * interval '1 second',
    retries = retries + CASE WHEN attempt.wait_s IS NULL OR attempt.is_outage THEN 0 ELSE 1 END,
    unavailable_since = CASE WHEN attempt.wait_s IS NOT NULL AND attempt.is_outage
                             THEN coalesce(unavailable_since, now()) END,
    unavailable_service = CASE WHEN attempt.wait_s IS NOT NULL AND attempt.is_outage
                               THEN %(unavailable_service)s END,
    claimed_by = NULL, attempts = 0, idle_runs = 0, releases = 0, updated_at = now(),
    error_stage = %(stage)s, error_class = %(error_class)s, error_message = %(message)s,
    error_transient = %(transient)s
FROM (SELECT %(outage_wait_s)s::float IS NOT NULL AS is_outage,
             CASE WHEN %(outage_wait_s)s::float IS NOT NULL THEN
                      CASE WHEN coalesce(now() - unavailable_since, interval '0')
                                < %(patience_s)s * interval '1 second'
                           THEN %(outage_wait_s)s::float END
                  WHEN %(transient)s THEN (%(retry_waits_s)s::float[])[retries + 1] END AS wait_s
      FROM calls WHERE call_id = %(call_id)s) AS attempt
WHERE call_id = %(call_id)s AND claimed_by = %(run_id)s AND state = 'PROCESSING'
RETURNING next_attempt_at;

-- name: list_failed
-- Return failed calls, oldest failure first, filtered by time and error class.
SELECT call_id FROM calls
WHERE state = 'FAILED'
  AND (%(since)s::timestamptz IS NULL OR completed_at >= %(since)s)
  AND (%(error_class)s::text IS NULL OR error_class = %(error_class)s)
ORDER BY completed_at, call_id;

-- name: cancel_batches
-- Return the calls of batches that will never run to the queue, with a backoff.
UPDATE calls SET
    unavailable_service = NULL, batch_id = NULL, batched_at = NULL, idle_runs = idle_runs + 1,
    updated_at = now(),
    next_attempt_at = now() + least(%(first_wait_s)s * 2 ^ least(idle_runs, 20), %(longest_wait_s)s)
                         * interval '1 second'
WHERE state = 'PENDING' AND batch_id = ANY(%(batch_ids)s)
RETURNING call_id;

-- name: delete_results
-- Delete the results of a call that turned out to be a duplicate, so that it does not count twice.
-- Segments are deleted with their transcripts; sentiment, also missing, with its mentions.
WITH call AS (SELECT %(call_id)s::text AS call_id),
d1 AS (DELETE FROM recordings USING call WHERE recordings.call_id = call.call_id),
d2 AS (DELETE FROM channels USING call WHERE channels.call_id = call.call_id),
d3 AS (DELETE FROM call_metrics USING call WHERE call_metrics.call_id = call.call_id),
d4 AS (DELETE FROM transcripts USING call WHERE transcripts.call_id = call.call_id),
d5 AS (DELETE FROM mentions USING call WHERE mentions.call_id = call.call_id),
d6 AS (DELETE FROM replaced_judgements r USING call WHERE r.call_id = call.call_id),
d7 AS (DELETE FROM redactions r USING call WHERE r.call_id = call.call_id)
DELETE FROM call_stages USING call WHERE call_stages.call_id = call.call_id;

-- name: release
-- Release the calls of a run that ends normally; it is alive, so no call has killed it. What ended
-- it may end the next one too: the calls wait, with a backoff, and end FAILED after too many
-- consecutive releases.
UPDATE calls SET
    state = CASE WHEN released.too_often THEN 'FAILED' ELSE 'PENDING' END,
    error_stage = CASE WHEN released.too_often THEN 'run' END,
    error_class = CASE WHEN released.too_often THEN %(error_class)s END,
    error_message = CASE WHEN released.too_often THEN %(message)s END,
    error_transient = CASE WHEN released.too_often THEN false END,
    completed_at = CASE WHEN released.too_often THEN now() END,
    claimed_by = NULL, unavailable_service = NULL, batch_id = NULL, batched_at = NULL, attempts = 0,
    idle_runs = idle_runs + 1, releases = releases + 1, updated_at = now(),
    next_attempt_at = CASE WHEN NOT released.too_often THEN
        now() + least(%(first_wait_s)s * 2 ^ least(idle_runs, 20), %(longest_wait_s)s)
                * interval '1 second' END
FROM (SELECT call_id, releases + 1 >= %(max_releases)s AS too_often FROM calls
      WHERE claimed_by = %(run_id)s) AS released
WHERE calls.call_id = released.call_id AND claimed_by = %(run_id)s AND state = 'PROCESSING'
RETURNING calls.call_id;

-- name: hand_back
-- Return the calls of an interrupted run to the queue. They are due at once, and keep their counters:
-- neither the calls nor what they need have failed.
UPDATE calls SET
    state = 'PENDING', claimed_by = NULL, unavailable_service = NULL, batch_id = NULL,
    batched_at = NULL, attempts = 0, next_attempt_at = now(), updated_at = now()
WHERE claimed_by = %(run_id)s AND state = 'PROCESSING'
RETURNING call_id;

-- name: lock_claim
-- Lock the row of a call that the run holds; no row means that the claim is lost.
SELECT 1 FROM calls
WHERE call_id = %(call_id)s AND claimed_by = %(run_id)s AND state = 'PROCESSING'
FOR NO KEY UPDATE;

-- name: retry_now
-- Make pending calls due immediately, at a person's request.
UPDATE calls SET
    priority = %(priority)s, lane = %(lane)s, retries = 0, idle_runs = 0, releases = 0,
    next_attempt_at = now(), updated_at = now()
WHERE state = 'PENDING' AND batch_id IS NULL AND call_id = ANY(%(call_ids)s)
RETURNING call_id;

-- name: registered_objects
-- Return which of these objects are registered, or were before they were erased. The lateral join
-- looks them up one by one: a plain join reads all rows of the bucket.
SELECT object.key, object.etag
FROM unnest(%(keys)s::text[], %(etags)s::text[], %(call_ids)s::text[])
     AS object (key, etag, call_id)
CROSS JOIN LATERAL (
    SELECT FROM calls c
    WHERE c.bucket = %(bucket)s AND c.key = object.key AND c.etag = object.etag
    UNION ALL
    SELECT FROM calls c
    WHERE c.state = 'ERASED' AND right(c.call_id, 12) = right(object.call_id, 12)
    LIMIT 1
) AS registered;

-- name: mark_duplicate
-- End a call as a duplicate of another call with the same content.
UPDATE calls SET
    state = 'DUPLICATE', duplicate_of = %(first)s, claimed_by = NULL, batch_id = NULL,
    batched_at = NULL, attempts = 0, retries = 0, idle_runs = 0, releases = 0,
    next_attempt_at = NULL, unavailable_since = NULL, unavailable_service = NULL,
    completed_at = now(), updated_at = now()
WHERE call_id = %(call_id)s AND state IN ('PENDING', 'PROCESSING')
  AND claimed_by IS NOT DISTINCT FROM %(run_id)s
RETURNING call_id;

-- name: lock_content
-- Lock the ownership of a content hash, or of a call's content, until the transaction ends. The
-- next statement sees what earlier lock holders committed.
SELECT call_id FROM contents
WHERE sha256 = %(sha256)s OR call_id = %(call_id)s ORDER BY sha256 FOR UPDATE;

-- name: next_attempts
-- Return when the first and the last delayed call of each lane are due.
SELECT lane, min(next_attempt_at) AS first_at, max(next_attempt_at) AS last_at
FROM calls WHERE state = 'PENDING' AND next_attempt_at > now() GROUP BY lane;

-- name: open_batches
-- Return batches whose run has not begun all calls, with the age of each in seconds.
SELECT batch_id, min(lane) AS lane, max(priority) AS priority,
       array_agg(call_id ORDER BY call_id) AS call_ids,
       extract(epoch FROM now() - min(batched_at))::float AS age_s
FROM calls
WHERE state = 'PENDING' AND batch_id IS NOT NULL
GROUP BY batch_id ORDER BY min(created_at), batch_id;

-- name: own_content
-- Record the content hash of a call. Return the owner of the content, the call that had it first,
-- and whether that call was erased: erased content never gets a new owner. This call becomes the
-- owner if the previous one failed for a reason that may not affect another copy. Run lock_content
-- first, otherwise the state of the owner may be outdated.
WITH call AS (
    UPDATE calls SET sha256 = %(sha256)s WHERE call_id = %(call_id)s
), owner AS (
    INSERT INTO contents AS existing (sha256, call_id) VALUES (%(sha256)s, %(call_id)s)
    ON CONFLICT (sha256) DO UPDATE SET call_id =
        CASE WHEN EXISTS (SELECT FROM calls c WHERE c.call_id = existing.call_id
                          AND c.state = 'FAILED'
                          AND (c.error_transient OR c.error_class = 'MissingObject'))
             THEN excluded.call_id ELSE existing.call_id END
    RETURNING call_id
)
SELECT owner.call_id, coalesce(c.state = 'ERASED', false) AS is_erased
FROM owner LEFT JOIN calls c USING (call_id);

-- name: register
-- Insert recordings as calls. Recordings that are registered already, or were before they were
-- erased, are not returned.
INSERT INTO calls (call_id, bucket, key, etag, size_bytes, last_modified, agent_channel, sha256,
                   started_at, metadata, lane, priority, duplicates, beginning_sha256)
SELECT new.* FROM unnest(
    %(call_id)s::text[], %(bucket)s::text[], %(key)s::text[], %(etag)s::text[],
    %(size_bytes)s::bigint[], %(last_modified)s::timestamptz[], %(agent_channel)s::text[],
    %(sha256)s::text[], %(started_at)s::timestamptz[], %(metadata)s::jsonb[], %(lane)s::text[],
    %(priority)s::smallint[], %(duplicates)s::text[], %(beginning_sha256)s::text[])
    AS new (call_id)
WHERE NOT EXISTS (SELECT FROM calls e
                  WHERE e.state = 'ERASED' AND right(e.call_id, 12) = right(new.call_id, 12))
-- On any key: an object with a new modification date has a new id but is the same object.
ON CONFLICT DO NOTHING
RETURNING call_id;

-- name: reclaim
-- Reclaim the calls of dead runs: PENDING, or FAILED after too many lost attempts.
WITH deleted AS (
    DELETE FROM runs WHERE run_id = ANY(%(run_ids)s)
)
UPDATE calls SET
    state = CASE WHEN attempts >= %(max_attempts)s THEN 'FAILED' ELSE 'PENDING' END,
    error_stage = CASE WHEN attempts >= %(max_attempts)s THEN 'run' END,
    error_class = CASE WHEN attempts >= %(max_attempts)s THEN %(error_class)s END,
    error_message = CASE WHEN attempts >= %(max_attempts)s THEN %(message)s END,
    error_transient = CASE WHEN attempts >= %(max_attempts)s THEN false END,
    completed_at = CASE WHEN attempts >= %(max_attempts)s THEN now() END,
    claimed_by = NULL, unavailable_service = NULL, batch_id = NULL, batched_at = NULL,
    next_attempt_at = now(), updated_at = now()
WHERE claimed_by = ANY(%(run_ids)s) AND state = 'PROCESSING'
RETURNING call_id, state;

-- name: retry_failed
-- Queue failed calls again, at a person's request and so before all others.
UPDATE calls SET
    state = 'PENDING', priority = %(priority)s, lane = %(lane)s, attempts = 0, retries = 0,
    idle_runs = 0, releases = 0, next_attempt_at = now(), completed_at = NULL, updated_at = now()
WHERE state = 'FAILED' AND call_id = ANY(%(call_ids)s)
RETURNING call_id;

-- name: retry_duplicates
-- Queue duplicates whose original failed, at a person's request: one for each content. It becomes
-- the owner of the content and the original of the other duplicates.
WITH heir AS (
    SELECT DISTINCT ON (c.sha256) c.call_id, c.sha256, c.duplicate_of AS first
    FROM calls c JOIN calls f ON f.call_id = c.duplicate_of
    WHERE c.state = 'DUPLICATE' AND c.call_id = ANY(%(call_ids)s)
      AND f.state = 'FAILED' AND c.sha256 = f.sha256
    ORDER BY c.sha256, c.created_at, c.call_id
), others AS (
    UPDATE calls SET duplicate_of = heir.call_id FROM heir
    WHERE calls.duplicate_of = heir.first AND calls.call_id <> heir.call_id
), passed AS (
    UPDATE contents SET call_id = heir.call_id FROM heir
    WHERE contents.sha256 = heir.sha256 AND contents.call_id = heir.first
)
UPDATE calls SET
    state = 'PENDING', duplicate_of = NULL, priority = %(priority)s, lane = %(lane)s,
    next_attempt_at = now(), completed_at = NULL, updated_at = now()
FROM heir WHERE calls.call_id = heir.call_id AND calls.state = 'DUPLICATE'
RETURNING calls.call_id;

-- name: list_ids
-- Return the ids of calls, newest first, filtered by id, id prefix and state.
SELECT c.call_id FROM calls c
WHERE (%(call_ids)s::text[] IS NULL OR c.call_id = ANY(%(call_ids)s))
  AND (%(prefix)s::text IS NULL OR starts_with(c.call_id, %(prefix)s))
  AND (%(states)s::text[] IS NULL OR c.state = ANY(%(states)s))
ORDER BY c.created_at DESC, c.key DESC
LIMIT %(limit)s;

-- name: promote_duplicate
-- Queue the oldest duplicate of a failed call, for errors that may not affect another copy. It
-- becomes the owner of the content and the original of the other duplicates.
WITH heir AS (
    UPDATE calls SET state = 'PENDING', duplicate_of = NULL, next_attempt_at = NULL,
        completed_at = NULL, updated_at = now()
    WHERE call_id = (SELECT call_id FROM calls
                     WHERE duplicate_of = %(call_id)s AND state = 'DUPLICATE'
                       AND sha256 = (SELECT sha256 FROM calls WHERE call_id = %(call_id)s)
                     ORDER BY created_at, call_id LIMIT 1)
    RETURNING call_id
), others AS (
    UPDATE calls SET duplicate_of = heir.call_id FROM heir
    WHERE calls.duplicate_of = %(call_id)s AND calls.call_id <> heir.call_id
)
UPDATE contents SET call_id = heir.call_id FROM heir WHERE contents.call_id = %(call_id)s;

-- name: list_outages
-- Return unavailable services with the number of calls that wait for each. Leave out a service that
-- no call waits for and that was not probed for long: it is unused, or its address was changed.
SELECT * FROM (
    SELECT o.service, o.reason, o.since, o.retry_at,
           (SELECT count(*) FROM calls c
            WHERE c.unavailable_service = o.service AND c.state = 'PENDING')
           + (SELECT count(DISTINCT u.call_id) FROM unjudged u
              WHERE u.unavailable_service = o.service AND u.next_attempt_at IS NOT NULL) AS calls
    FROM outages o) AS counted
WHERE calls > 0 OR retry_at > now() - %(expiry_s)s * interval '1 second'
ORDER BY service;

-- name: begin_outage
-- Record that a service is unavailable, and delay the calls that wait for it until its next probe.
WITH outage AS (
    INSERT INTO outages AS o (service, reason, attempts, retry_at)
    VALUES (%(service)s, %(reason)s, %(attempts)s, now() + %(retry_after_s)s * interval '1 second')
    ON CONFLICT (service) DO UPDATE SET
        reason = excluded.reason, attempts = greatest(o.attempts, excluded.attempts),
        probe_started_at = NULL, retry_at = greatest(o.retry_at, excluded.retry_at)
    RETURNING service, retry_at
), waiting AS (
    UPDATE calls SET next_attempt_at = outage.retry_at FROM outage
    WHERE unavailable_service = outage.service AND state = 'PENDING' AND batch_id IS NULL
      AND next_attempt_at < outage.retry_at
), mentions AS (
    UPDATE unjudged u SET next_attempt_at = outage.retry_at FROM outage
    WHERE u.unavailable_service = outage.service AND u.next_attempt_at < outage.retry_at
)
SELECT service FROM outage;

-- name: end_outage
-- End the outage of a service: the calls and mentions that wait for it are due now.
WITH ended AS (
    DELETE FROM outages WHERE service = %(service)s RETURNING service
), mentions AS (
    UPDATE unjudged u SET next_attempt_at = now() FROM ended
    WHERE u.unavailable_service = ended.service AND u.next_attempt_at > now()
)
UPDATE calls SET next_attempt_at = now() FROM ended
WHERE unavailable_service = ended.service AND state = 'PENDING' AND next_attempt_at > now()
RETURNING call_id;

-- name: find_outage
-- Return the outage of a service.
SELECT reason, attempts,
       greatest(extract(epoch FROM retry_at - now()), 0)::float AS retry_after_s
FROM outages WHERE service = %(service)s;

-- name: probe_now
-- Make the probe of services due that any of these calls waits for.
UPDATE outages o SET retry_at = now(), probe_started_at = NULL
WHERE retry_at > now()
  AND (EXISTS (SELECT FROM calls c
               WHERE c.unavailable_service = o.service AND c.call_id = ANY(%(call_ids)s))
       OR EXISTS (SELECT FROM unjudged u
                  WHERE u.unavailable_service = o.service AND u.call_id = ANY(%(call_ids)s)))
RETURNING service;

-- name: acquire_probe
-- Acquire the probe of a service if it is due; it is due again later for everyone else.
UPDATE outages SET
    retry_at = now() + %(retry_after_s)s * interval '1 second', probe_started_at = NULL
WHERE service = %(service)s AND retry_at <= now()
RETURNING service;
