-- A page of calls, newest first: after a call (`after_at`, `after_id`), or after `skip` of them.
WITH wanted AS (
    SELECT r.call_id, r.created_at FROM reading_calls r
    WHERE (%(after_id)s::text IS NULL
           OR (r.created_at, r.call_id) < (%(after_at)s::timestamptz, %(after_id)s)) AND
    -- include reading/calls_wanted
    ORDER BY r.created_at DESC, r.call_id DESC LIMIT %(limit)s OFFSET %(skip)s
)
SELECT c.call_id, c.key, c.bucket AS source, c.state, c.metadata ->> 'agent' AS agent,
       coalesce(c.started_at, c.last_modified) AS took_place_at, r.duration_s, c.error_stage,
       c.error_class, c.error_message, c.error_transient, c.duplicate_of, c.lane, c.not_before,
       c.away_from, c.created_at, c.updated_at, c.completed_at,
       ARRAY(SELECT s.stage FROM stored_stages s WHERE s.call_id = c.call_id
             ORDER BY s.stored_at) AS stages
FROM wanted w JOIN calls c USING (call_id) LEFT JOIN recordings r USING (call_id)
ORDER BY w.created_at DESC, w.call_id DESC;
