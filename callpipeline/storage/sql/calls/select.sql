-- Calls as a person looks at them, newest first, by id (or its beginning) and by state.
SELECT c.call_id, c.key, c.state, c.claimed_by, c.attempts, c.error_stage, c.error_class,
       c.error_message, c.error_transient, c.created_at, c.updated_at, c.completed_at,
       c.duplicate_of, c.lane, c.retries, c.not_before, c.started_at, c.metadata,
       r.duration_s, r.flags,
       ARRAY(SELECT s.stage FROM stored_stages s WHERE s.call_id = c.call_id
             ORDER BY s.stored_at) AS stages
FROM calls c LEFT JOIN recordings r USING (call_id)
WHERE (%(call_ids)s::text[] IS NULL OR c.call_id = ANY(%(call_ids)s))
  AND (%(prefix)s::text IS NULL OR starts_with(c.call_id, %(prefix)s))
  AND (%(states)s::text[] IS NULL OR c.state = ANY(%(states)s))
ORDER BY c.created_at DESC, c.key DESC
LIMIT %(limit)s;
