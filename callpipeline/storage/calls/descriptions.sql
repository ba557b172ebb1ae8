-- name: corrected
-- Select the corrected fields of a call, each with the value given last.
SELECT DISTINCT ON (f.key) f.key, f.value
FROM call_corrections k, jsonb_each(k.fields) AS f
WHERE k.call_id = %(call_id)s ORDER BY f.key, k.correction_id DESC

-- name: corrections
-- List the corrections of a call, newest first.
SELECT fields, corrected_by, corrected_at FROM call_corrections
WHERE call_id = %(call_id)s AND fields <> '{}' ORDER BY correction_id DESC;

-- name: given
-- Fragment: the fields of a side file, and the time, that no person has corrected.
corrected AS (
    -- include descriptions/corrected
), given AS (
    SELECT (SELECT coalesce(jsonb_object_agg(key, value), '{}')
            FROM jsonb_each(%(metadata)s::jsonb)
            WHERE key NOT IN (SELECT key FROM corrected)) AS fields,
           CASE WHEN NOT EXISTS (SELECT FROM corrected WHERE key = 'started_at')
                THEN %(started_at)s::timestamptz END AS started_at
)

-- name: describe
-- Add what a side file says about a claimed call. Corrected fields keep their values.
WITH
-- include descriptions/given
UPDATE calls c SET
    metadata = metadata || given.fields,
    started_at = coalesce(given.started_at, c.started_at),
    agent_channel = coalesce(%(agent_channel)s::text, agent_channel),
    metadata_due_at = NULL,
    updated_at = now()
FROM given
WHERE call_id = %(call_id)s AND claimed_by = %(run_id)s
RETURNING agent_channel;

-- name: await_file
-- Note that the side file of a claimed call is not there yet, or can't be read.
UPDATE calls SET metadata_due_at = now() + %(wait_s)s * interval '1 second'
WHERE call_id = %(call_id)s AND claimed_by = %(run_id)s
RETURNING call_id;

-- name: due
-- List calls that ended without the metadata of a side file and are due for another look.
SELECT call_id, bucket, key, etag, size_bytes, last_modified FROM calls
WHERE metadata_due_at <= now() AND state IN ('COMPLETED', 'FAILED')
ORDER BY metadata_due_at LIMIT %(limit)s;

-- name: postpone
-- Look again later: in half of the time since the call ended, and no more after some days.
UPDATE calls SET metadata_due_at = CASE
    WHEN first_ended_at > now() - %(give_up_s)s * interval '1 second' THEN
        now() + least(greatest((now() - first_ended_at) / 2, %(wait_s)s * interval '1 second'),
                      %(longest_wait_s)s * interval '1 second') END
WHERE call_id = %(call_id)s AND metadata_due_at IS NOT NULL;

-- name: describe_late
-- Add what a side file says about a call that has ended; a call in progress reads it by itself.
WITH
-- include descriptions/given
UPDATE calls c SET
    metadata = metadata || given.fields,
    started_at = coalesce(given.started_at, c.started_at),
    metadata_due_at = NULL,
    updated_at = now()
FROM given
WHERE call_id = %(call_id)s AND state IN ('COMPLETED', 'FAILED')
RETURNING call_id;

-- name: insert_moved_day
-- Record the day that a call leaves if a side file gives it another time, so that it is counted
-- again.
WITH
-- include descriptions/given
INSERT INTO call_corrections (call_id, fields, previous_day)
SELECT c.call_id, '{}', call_day(coalesce(c.started_at, c.last_modified))
FROM calls c, given
WHERE c.call_id = %(call_id)s AND c.started_at IS DISTINCT FROM given.started_at
  AND given.started_at IS NOT NULL AND c.state IN ('COMPLETED', 'FAILED');

-- name: set_unreadable
-- Set the flag of a side file that can't be read, or remove it.
UPDATE recordings SET flags = (
    SELECT coalesce(jsonb_agg(each), '[]') FROM jsonb_array_elements(flags) AS each
    WHERE each ->> 'flag' <> 'unreadable_metadata'
) || %(flags)s::jsonb
WHERE call_id = %(call_id)s;

-- name: insert_correction
-- Record a correction, with the day that the call leaves if its time is corrected.
INSERT INTO call_corrections (call_id, fields, corrected_by, previous_day)
SELECT call_id, %(fields)s, %(by)s,
       CASE WHEN %(changes_time)s
            THEN call_day(coalesce(started_at, last_modified)) END
FROM calls WHERE call_id = %(call_id)s;

-- name: correct
-- Change what is known about a call. A call without a start took place when it was recorded.
UPDATE calls SET
    metadata = (metadata || %(given)s::jsonb) - %(removed)s::text[],
    started_at = CASE WHEN %(changes_time)s THEN %(started_at)s::timestamptz ELSE started_at END
WHERE call_id = %(call_id)s
RETURNING metadata, started_at;

-- name: find
-- Select what is known about a call.
SELECT metadata, started_at,
       coalesce((SELECT max(k.correction_id) FROM call_corrections k
                 WHERE k.call_id = c.call_id AND k.fields <> '{}'), 0) AS version
FROM calls c WHERE call_id = %(call_id)s AND state <> 'ERASED';

-- name: corrected_since
-- Return the last correction of one of these fields after the one that a person saw.
SELECT f.key AS field, k.corrected_by,
       ceil(extract(epoch FROM clock_timestamp() - k.corrected_at) / 60)::integer AS minutes
FROM call_corrections k, jsonb_object_keys(k.fields) AS f (key)
WHERE k.call_id = %(call_id)s AND k.correction_id > %(seen)s AND f.key = ANY(%(fields)s)
ORDER BY k.correction_id DESC LIMIT 1;
