-- name: corrected
-- Select the corrected fields of a call, each with the value given last.
SELECT DISTINCT ON (f.key) f.key, f.value
FROM call_corrections k, jsonb_each(k.fields) AS f
WHERE k.call_id = %(call_id)s ORDER BY f.key, k.correction_id DESC

-- name: corrections
-- List the corrections of a call, newest first.
SELECT fields, corrected_by, corrected_at FROM call_corrections
WHERE call_id = %(call_id)s ORDER BY correction_id DESC;

-- name: describe
-- Add what a side file says about a claimed call. Corrected fields keep their values.
WITH corrected AS (
    -- include descriptions/corrected
), given AS (
    SELECT coalesce(jsonb_object_agg(key, value), '{}') AS fields
    FROM jsonb_each(%(metadata)s::jsonb)
    WHERE key NOT IN (SELECT key FROM corrected)
)
UPDATE calls SET
    metadata = metadata || given.fields,
    started_at = CASE WHEN EXISTS (SELECT FROM corrected WHERE key = 'started_at')
                      THEN started_at
                      ELSE coalesce(%(started_at)s::timestamptz, started_at) END,
    agent_channel = coalesce(%(agent_channel)s::text, agent_channel),
    updated_at = now()
FROM given
WHERE call_id = %(call_id)s AND claimed_by = %(run_id)s
RETURNING agent_channel;

-- name: insert_correction
-- Record a correction, with the day that the call leaves if its time is corrected.
INSERT INTO call_corrections (call_id, fields, corrected_by, previous_day)
SELECT call_id, %(fields)s, %(by)s,
       CASE WHEN %(changes_time)s
            THEN (coalesce(started_at, last_modified) AT TIME ZONE 'UTC')::date END
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
SELECT metadata, started_at FROM calls WHERE call_id = %(call_id)s AND state <> 'ERASED';
