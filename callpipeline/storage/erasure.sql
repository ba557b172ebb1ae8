-- name: delete_audit
-- Delete entries of the audit log older than a time, a batch at a time.
WITH deleted AS (
    DELETE FROM audit_log WHERE entry_id IN (
        SELECT entry_id FROM audit_log WHERE at < %(older_than)s ORDER BY at LIMIT %(limit)s)
    RETURNING entry_id
)
SELECT count(*) AS items FROM deleted;

-- name: delete_announcements
-- Delete the URLs that the recordings of calls were to be fetched from.
DELETE FROM announced WHERE call_id = ANY(%(call_ids)s);

-- name: delete_events_of_calls
-- Delete events by call or by id, and blank the receivers' answers, which may quote them.
WITH deleted AS (
    SELECT event_id FROM outbox
    WHERE call_id = ANY(%(call_ids)s) OR event_id = ANY(%(event_ids)s::uuid[])
), blanked AS (
    UPDATE deliveries d SET answer = ''
    WHERE notification_id IN (SELECT notification_id FROM notification_events
                              WHERE event_id IN (SELECT event_id FROM deleted))
)
DELETE FROM outbox WHERE event_id IN (SELECT event_id FROM deleted);

-- name: delete_results
-- Delete the results of calls. Segments go with transcripts; sentiment and unjudged rows go with
-- mentions.
WITH wanted AS (SELECT unnest(%(call_ids)s::text[]) AS call_id),
audio AS (DELETE FROM recordings r USING wanted w WHERE r.call_id = w.call_id),
channel_rows AS (DELETE FROM channels r USING wanted w WHERE r.call_id = w.call_id),
masked AS (DELETE FROM redactions r USING wanted w WHERE r.call_id = w.call_id),
metrics AS (DELETE FROM call_metrics r USING wanted w WHERE r.call_id = w.call_id),
voice_rows AS (DELETE FROM voices r USING wanted w WHERE r.call_id = w.call_id),
voices_decided AS (DELETE FROM voice_decisions r USING wanted w WHERE r.call_id = w.call_id),
corrected AS (DELETE FROM call_corrections r USING wanted w WHERE r.call_id = w.call_id),
words AS (DELETE FROM word_corrections r USING wanted w WHERE r.call_id = w.call_id),
reviewed AS (DELETE FROM reviews r USING wanted w WHERE r.call_id = w.call_id),
sentiment_corrected AS (DELETE FROM sentiment_corrections r USING wanted w WHERE r.call_id = w.call_id),
replaced AS (DELETE FROM replaced_judgements r USING wanted w WHERE r.call_id = w.call_id),
rematched AS (DELETE FROM rematch_calls r USING wanted w WHERE r.call_id = w.call_id),
spoken AS (DELETE FROM transcripts r USING wanted w WHERE r.call_id = w.call_id),
mentioned AS (DELETE FROM mentions r USING wanted w WHERE r.call_id = w.call_id)
DELETE FROM call_stages r USING wanted w WHERE r.call_id = w.call_id;

-- name: insert_erasure
-- Record erasures while the ledger still has the locations. A recording that comes in again after
-- its erasure is kept where the first one was kept. Bytes that were never read are to be read,
-- except those that turned out not to be audio.
INSERT INTO erasures (call_id, because, by_retention, keep_recording, bucket, key, etag, is_unread,
                      run_id)
SELECT c.call_id, %(because)s, %(by_retention)s,
       coalesce((SELECT first.keep_recording FROM erasures first JOIN calls f USING (call_id)
                 WHERE f.sha256 = c.sha256 AND f.state = 'ERASED' LIMIT 1), %(keep_recording)s),
       c.bucket, c.key, c.etag,
       NOT %(by_retention)s AND c.sha256 IS NULL AND c.state <> 'FAILED', c.claimed_by
FROM calls c WHERE c.call_id = ANY(%(call_ids)s);

-- name: is_shared_object
-- Check whether another call has the same object, or one whose transcript would have the same
-- key. Earlier versions of the call's own recording don't count: their objects are gone.
SELECT EXISTS (
    SELECT FROM calls c
    WHERE regexp_replace(c.key, '\.[^./]*$', '') = regexp_replace(%(key)s, '\.[^./]*$', '')
      AND c.bucket = %(bucket)s AND c.call_id <> %(call_id)s AND c.state <> 'ERASED'
      AND NOT (c.key = %(key)s AND c.state = 'DUPLICATE' AND c.duplicate_of = %(call_id)s)
) AS is_shared;

-- name: lift_tombstones
-- Delete tombstones, with all others of the same bytes, so that the recordings may come in again.
-- None is deleted while an erasure of the same bytes is unfinished.
WITH requested AS (
    SELECT call_id, sha256 FROM calls WHERE call_id = ANY(%(call_ids)s) AND state = 'ERASED'
), same_content AS (
    SELECT a.call_id AS asked_for, c.call_id, e.verified_at
    FROM requested a JOIN calls c ON c.state = 'ERASED'
                              AND (c.call_id = a.call_id OR c.sha256 = a.sha256)
    LEFT JOIN erasures e ON e.call_id = c.call_id
), finished AS (
    SELECT asked_for FROM same_content GROUP BY asked_for HAVING bool_and(verified_at IS NOT NULL)
)
DELETE FROM calls WHERE call_id IN (SELECT same_content.call_id FROM same_content JOIN finished USING (asked_for))
RETURNING call_id;

-- name: list_candidates
-- List these calls, or those of a customer, with all calls of the same bytes, and of other versions
-- of the same recording: they are the same conversation.
WITH requested AS (
    SELECT call_id, sha256, bucket, key, duplicate_of FROM calls
    WHERE state <> 'ERASED'
      AND (call_id = ANY(%(call_ids)s) OR lower(metadata ->> 'customer') = lower(%(customer)s))
)
SELECT call_id, state, coalesce(started_at, last_modified) AS took_place_at, key,
       metadata ->> 'customer' AS customer, call_id IN (SELECT call_id FROM requested) AS is_asked_for
FROM calls
WHERE state <> 'ERASED'
  AND (call_id IN (SELECT call_id FROM requested) OR sha256 IN (SELECT sha256 FROM requested)
       OR EXISTS (SELECT FROM requested r
                  WHERE r.bucket = calls.bucket AND r.key = calls.key
                    AND (calls.duplicate_of = r.call_id OR r.duplicate_of = calls.call_id)))
ORDER BY took_place_at, call_id;

-- name: list_custom_events
-- List the texts of custom events that belong to no call of the ledger, and the titles of reports,
-- which have the names of saved views.
SELECT event_id::text, metadata ->> 'job_filename' AS file_name,
       concat_ws(' ', title, message, error_message, group_key, subject, metadata::text) AS text
FROM outbox WHERE call_id IS NULL AND kind = 'custom'
UNION ALL
SELECT event_id::text, NULL, title FROM outbox WHERE kind = 'weekly_report';

-- name: list_open
-- List unfinished erasures, least recently attempted first, and whether the run that had claimed
-- the call may still write to it.
SELECT e.call_id, e.keep_recording, e.by_retention, e.bucket, e.key, e.etag, e.is_unread, e.trouble,
       e.asked_at, extract(epoch FROM now() - e.asked_at)::float AS age_s,
       EXISTS (SELECT FROM runs r WHERE r.run_id = e.run_id) AS is_under_way
FROM erasures e
WHERE e.verified_at IS NULL AND (%(call_ids)s::text[] IS NULL OR e.call_id = ANY(%(call_ids)s))
ORDER BY e.looked_at NULLS FIRST, e.asked_at, e.call_id LIMIT %(limit)s;

-- name: list_returned
-- List calls whose bytes were erased on request: they came in again, or were read during the
-- erasure. Tombstones of retention have no bytes.
SELECT c.call_id FROM calls c JOIN calls e ON e.sha256 = c.sha256
WHERE e.state = 'ERASED' AND c.state <> 'ERASED' ORDER BY c.call_id;

-- name: lock_calls
-- Lock calls in a fixed order; a run that writes results of one ends its transaction first. With
-- `ended_before`, only calls that ended before it.
SELECT call_id FROM calls
WHERE call_id = ANY(%(call_ids)s) AND state <> 'ERASED'
  AND (%(ended_before)s::timestamptz IS NULL
       OR first_ended_at < %(ended_before)s AND state IN ('COMPLETED', 'FAILED', 'DUPLICATE'))
ORDER BY call_id FOR UPDATE;

-- name: make_tombstones
-- Turn calls into tombstones. They keep the day, so that it can be counted again, and the hashes
-- in id and sha256 that keep the same object or bytes out. Bytes deleted by retention may come in
-- again, and so may bytes that are not audio, which many calls may share.
UPDATE calls SET
    state = 'ERASED', bucket = '', key = '(erased)', etag = call_id, size_bytes = 0,
    sha256 = CASE WHEN %(by_retention)s OR state = 'FAILED' AND error_stage = 'channel_audio'
             THEN NULL ELSE sha256 END,
    last_modified = day_starts_at(call_day(coalesce(started_at, last_modified))),
    agent_channel = 'left', metadata = '{}', started_at = NULL, duplicate_of = NULL, lane = 'live',
    priority = 0, batch_id = NULL, batched_at = NULL, idle_runs = 0, releases = 0,
    claimed_by = NULL, attempts = 0, retries = 0, next_attempt_at = NULL, unavailable_since = NULL, unavailable_service = NULL,
    error_stage = NULL,
    error_class = NULL, error_message = NULL, error_transient = NULL, created_at = now(),
    completed_at = now(), first_ended_at = NULL, updated_at = now()
WHERE call_id = ANY(%(call_ids)s)
RETURNING call_id;

-- name: reassign_contents
-- Assign the bytes of tombstones that do not keep them out to the oldest other call with the same
-- bytes, if any.
WITH owned AS (
    SELECT k.sha256, (SELECT c.call_id FROM calls c
                      WHERE c.sha256 = k.sha256 AND c.state NOT IN ('ERASED', 'DUPLICATE')
                      ORDER BY c.created_at, c.call_id LIMIT 1) AS new_owner
    FROM contents k JOIN calls e USING (call_id)
    WHERE e.call_id = ANY(%(call_ids)s) AND e.sha256 IS NULL
), reassigned AS (
    UPDATE contents k SET call_id = owned.new_owner FROM owned
    WHERE k.sha256 = owned.sha256 AND owned.new_owner IS NOT NULL
)
DELETE FROM contents k USING owned WHERE k.sha256 = owned.sha256 AND owned.new_owner IS NULL;

-- name: record_content
-- Record the bytes of an erased call, so that they are kept out.
WITH tombstone AS (
    UPDATE calls SET sha256 = %(sha256)s WHERE call_id = %(call_id)s AND state = 'ERASED'
), erasure AS (
    UPDATE erasures SET is_unread = false WHERE call_id = %(call_id)s
)
INSERT INTO contents (sha256, call_id) VALUES (%(sha256)s, %(call_id)s)
ON CONFLICT (sha256) DO UPDATE SET call_id = excluded.call_id;

-- name: record_deletions
-- Record deletions, one row for each call.
INSERT INTO deletions (what, why, call_id, items, older_than)
SELECT %(what)s, %(why)s, d.call_id, d.items, %(older_than)s
FROM unnest(%(call_ids)s::text[], %(items)s::bigint[]) AS d (call_id, items)
RETURNING deletion_id;

-- name: reset_discovery
-- Reset discovery, since its cursors may contain erased keys: a scan in progress cannot store its
-- cursor, and the next one starts from the beginning.
DELETE FROM discovery;

-- name: shared_names
-- List those of these names and keys that other calls have too.
SELECT n.name FROM unnest(%(names)s::text[]) AS n (name)
WHERE EXISTS (SELECT FROM calls c
              WHERE regexp_replace(c.key, '^.*/', '') = regexp_replace(n.name, '^.*/', '')
                AND (c.key = n.name OR strpos(n.name, '/') = 0));

-- name: update_erasure
-- Record the outcome of an attempt: the obstacle, or that the erasure is finished. The location
-- of the recording is dropped when the object is gone. With the end go corrections of words: a
-- process of an earlier version may have begun the erasure, which knows nothing of them.
WITH corrected AS (
    DELETE FROM word_corrections WHERE call_id = %(call_id)s AND %(finished)s
)
UPDATE erasures SET
    looked_at = now(), trouble = %(trouble)s,
    bucket = CASE WHEN %(objects_gone)s THEN NULL ELSE bucket END,
    key = CASE WHEN %(objects_gone)s THEN NULL ELSE key END,
    etag = CASE WHEN %(objects_gone)s THEN NULL ELSE etag END,
    verified_at = CASE WHEN %(finished)s THEN now() END
WHERE call_id = %(call_id)s AND verified_at IS NULL
RETURNING call_id;

-- name: delete_events
-- Delete delivered events older than a time, a batch at a time.
WITH old AS (
    SELECT o.event_id, o.incident_id FROM outbox o JOIN incidents i USING (incident_id)
    WHERE o.occurred_at < %(older_than)s AND o.pending_channels = '{}' AND i.closed_at IS NOT NULL
      AND NOT EXISTS (SELECT FROM notifications n
                      WHERE n.incident_id = o.incident_id AND n.state = 'PENDING')
    ORDER BY o.occurred_at LIMIT %(limit)s
), deleted AS (
    DELETE FROM outbox o USING old WHERE o.event_id = old.event_id RETURNING o.event_id
)
SELECT count(*) AS items FROM deleted;

-- name: delete_incidents
-- Delete incidents whose messages are gone.
DELETE FROM incidents WHERE incident_id = ANY(%(incidents)s) RETURNING incident_id;

-- name: delete_messages
-- Delete messages of closed incidents without events.
WITH closed AS (
    SELECT i.incident_id FROM incidents i
    WHERE i.closed_at < %(older_than)s
      AND NOT EXISTS (SELECT FROM outbox o WHERE o.incident_id = i.incident_id)
      AND NOT EXISTS (SELECT FROM notifications n
                      WHERE n.incident_id = i.incident_id
                        AND (n.state = 'PENDING' OR n.created_at >= %(older_than)s))
), messages AS (
    DELETE FROM notifications n USING closed WHERE n.incident_id = closed.incident_id
    RETURNING n.notification_id
)
SELECT (SELECT count(*) FROM messages) AS items, ARRAY(SELECT incident_id FROM closed) AS incidents;

-- name: delete_segments
-- Delete the spoken text of a call, including corrections and quotes in judgements; the results
-- stay.
WITH segment_rows AS (DELETE FROM segments WHERE call_id = %(call_id)s),
corrected AS (DELETE FROM word_corrections WHERE call_id = %(call_id)s),
replaced_rows AS (
    DELETE FROM replaced_judgements WHERE call_id = %(call_id)s AND context <> 'dismissed'
), dismissed_rows AS (
    UPDATE replaced_judgements SET quote = '', switching_quote = '',
        rule = regexp_replace(rule, ':.*$', ':')
    WHERE call_id = %(call_id)s AND context = 'dismissed'
),
unjudged_rows AS (
    -- Without a transcript they cannot be judged.
    UPDATE unjudged SET next_attempt_at = NULL, transient = false, error_class = 'MissingObject',
        reason = 'The transcript was deleted under your retention policy.', updated_at = now()
    WHERE call_id = %(call_id)s
), sentiment_rows AS (
    UPDATE sentiment SET quote = '', switching_quote = '', rule = regexp_replace(rule, ':.*$', ':'),
        judged = CASE WHEN judged IS NOT NULL THEN jsonb_set(
            judged, '{rule}', to_jsonb(regexp_replace(judged ->> 'rule', ':.*$', ':'))) END
    WHERE call_id = %(call_id)s
)
-- The reason of a reviewer's decision quotes nothing.
UPDATE mentions SET reason = CASE WHEN found_status IS NULL THEN '' ELSE reason END,
    found_reason = CASE WHEN found_status IS NOT NULL THEN '' END,
    phrase = ''
WHERE call_id = %(call_id)s;

-- name: deleted_on
-- Select when something of a call was deleted since it was last stored, or null.
SELECT max(d.at) AS at FROM deletions d
WHERE d.call_id = %(call_id)s AND d.what = %(what)s
  AND d.at >= coalesce((SELECT s.stored_at FROM call_stages s
                        WHERE s.call_id = d.call_id AND s.stage = d.what), '-infinity');

-- name: due_call
-- List calls that first ended before a time, oldest first.
SELECT c.call_id, c.bucket FROM calls c
WHERE c.first_ended_at < %(older_than)s AND c.state IN ('COMPLETED', 'FAILED', 'DUPLICATE')
  AND c.call_id > %(after)s
ORDER BY c.call_id LIMIT %(limit)s;

-- name: due_channel_audio
-- List calls that first ended before a time and have channel audio, oldest first.
SELECT c.call_id, c.bucket FROM calls c JOIN stored_stages s USING (call_id)
WHERE c.first_ended_at < %(older_than)s AND c.state IN ('COMPLETED', 'FAILED')
  AND s.stage = 'channel_audio' AND c.call_id > %(after)s
ORDER BY c.call_id LIMIT %(limit)s;

-- name: due_audit
-- Count entries of the audit log older than a time.
SELECT count(*) AS items FROM audit_log WHERE at < %(older_than)s;

-- name: due_notifications
-- Count delivered events older than a time.
SELECT count(*) AS items FROM outbox o LEFT JOIN incidents i USING (incident_id)
WHERE o.occurred_at < %(older_than)s AND o.pending_channels = '{}' AND i.closed_at IS NOT NULL
  AND NOT EXISTS (SELECT FROM notifications n
                  WHERE n.incident_id = o.incident_id AND n.state = 'PENDING');

-- name: due_recording
-- List calls that first ended before a time and whose recording is not deleted, oldest first.
SELECT c.call_id, c.bucket FROM calls c
WHERE c.first_ended_at < %(older_than)s AND c.state IN ('COMPLETED', 'FAILED', 'DUPLICATE')
  AND c.call_id > %(after)s
  AND NOT EXISTS (SELECT FROM deletions d
                  WHERE d.call_id = c.call_id AND d.what = 'recording')
ORDER BY c.call_id LIMIT %(limit)s;

-- name: due_transcripts
-- List calls that first ended before a time and have transcripts, oldest first.
SELECT c.call_id, c.bucket FROM calls c JOIN stored_stages s USING (call_id)
WHERE c.first_ended_at < %(older_than)s AND c.state IN ('COMPLETED', 'FAILED')
  AND s.stage = 'transcripts' AND c.call_id > %(after)s
ORDER BY c.call_id LIMIT %(limit)s;

-- name: deletion_history
-- Sum deletions by day, reason and kind, newest first.
SELECT call_day(at) AS day, why, what, sum(items)::bigint AS items, count(DISTINCT call_id) AS calls
FROM deletions WHERE at >= %(since)s
GROUP BY call_day(at), why, what ORDER BY day DESC, why, what;

-- name: list_retirable_keys
-- Select those of these partition keys whose calls ended before a time or are completely erased.
SELECT k.call_id FROM unnest(%(keys)s::text[]) AS k (call_id) JOIN calls c USING (call_id)
WHERE c.state = 'ERASED' AND NOT EXISTS (SELECT FROM erasures e WHERE e.call_id = c.call_id
                                         AND e.verified_at IS NULL)
   OR c.completed_at < %(older_than)s AND c.state IN ('COMPLETED', 'FAILED', 'DUPLICATE');

-- name: lock_call
-- Lock a call that ended before a time: no run may claim it while parts of it are deleted.
SELECT call_id, bucket, key, etag,
       ARRAY(SELECT object_key FROM channels h WHERE h.call_id = c.call_id) AS channel_audio,
       ARRAY(SELECT channel FROM channels h WHERE h.call_id = c.call_id) AS channels,
       ARRAY(SELECT object_key FROM transcripts t WHERE t.call_id = c.call_id) AS transcripts
FROM calls c
WHERE call_id = %(call_id)s AND first_ended_at < %(older_than)s
  AND state IN ('COMPLETED', 'FAILED', 'DUPLICATE')
FOR UPDATE;

-- name: record_batch
-- Record a deletion of many items at once.
INSERT INTO deletions (what, why, items, older_than)
VALUES (%(what)s, 'retention', %(items)s, %(older_than)s) RETURNING deletion_id;
