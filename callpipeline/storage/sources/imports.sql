-- name: lock
-- Lock the call that a job was imported as, or that was erased, with the runs of its stages and the
-- kinds of numbers that were masked in it.
SELECT c.state, ARRAY(SELECT DISTINCT s.run_id FROM call_stages s WHERE s.call_id = c.call_id)
                AS runs,
       ARRAY(SELECT DISTINCT r.kind FROM redactions r WHERE r.call_id = c.call_id) AS masked
FROM calls c
WHERE c.call_id = %(call_id)s
   OR (c.state = 'ERASED' AND right(c.call_id, 12) = right(%(call_id)s, 12))
FOR UPDATE OF c;

-- name: put_call
-- Store a call that has ended in another system. It counts as changed now, so that its day is
-- counted again.
INSERT INTO calls (call_id, bucket, key, etag, size_bytes, last_modified, duplicates, lane, state,
                   error_stage, error_class, error_message, error_transient, created_at, updated_at,
                   completed_at, first_ended_at)
VALUES (%(call_id)s, %(bucket)s, %(key)s, %(etag)s, %(size_bytes)s, %(last_modified)s, 'process',
        'bulk', %(state)s, NULL, %(error_class)s, %(error_message)s, %(error_transient)s,
        %(created_at)s, now(), %(ended_at)s, %(ended_at)s)
ON CONFLICT (call_id) DO UPDATE SET
    state = excluded.state, error_class = excluded.error_class,
    error_message = excluded.error_message, error_transient = excluded.error_transient,
    updated_at = now(), completed_at = excluded.completed_at,
    first_ended_at = excluded.first_ended_at;

-- name: delete_stages
-- Forget the stages of a call before those of another import are recorded.
DELETE FROM call_stages WHERE call_id = %(call_id)s;

-- name: put_stage
-- Record a stage of a call, which was stored in another system.
INSERT INTO call_stages (call_id, stage, run_id, engine, catalog_version, rule_version, took_s,
                         stored_at)
VALUES (%(call_id)s, %(stage)s, %(run_id)s, %(engine)s, %(catalog_version)s, %(rule_version)s, 0,
        %(stored_at)s);

-- name: current_list
-- Return the competitor list in force.
SELECT version FROM catalog_changes ORDER BY change_id DESC LIMIT 1;

-- name: lock_imported
-- Lock an imported call that has ended.
SELECT 1 FROM calls
WHERE call_id = %(call_id)s AND bucket = %(bucket)s AND state IN ('COMPLETED', 'FAILED')
FOR UPDATE;

-- name: error_message
-- Return why a call failed in the other system.
SELECT error_message FROM calls WHERE call_id = %(call_id)s AND error_class = 'ImportedFailure';

-- name: record_masks
-- Record that the texts of a call were masked. Later times keep a rematch that read them before from
-- storing its results; the kinds after the run keep another import from taking masks off.
WITH stages AS (
    UPDATE call_stages SET
        stored_at = CASE WHEN stage = 'transcripts' THEN clock_timestamp() ELSE stored_at END,
        run_id = CASE WHEN split_part(run_id, ' ', 1) = %(run)s
                      THEN concat_ws(' ', run_id, nullif(array_to_string(%(kinds)s::text[], ' '), ''))
                      ELSE run_id END
    WHERE call_id = %(call_id)s
)
UPDATE calls SET updated_at = now(),
    error_message = CASE WHEN error_class = 'ImportedFailure' THEN %(error_message)s
                    ELSE error_message END
WHERE call_id = %(call_id)s;
