-- Calls by their ids, as a list shows them.
SELECT c.call_id, c.key, c.bucket AS source, c.state, c.metadata ->> 'agent' AS agent,
       coalesce(c.started_at, c.last_modified) AS took_place_at, r.duration_s, c.error_stage,
       c.error_class, c.error_message, c.error_transient, c.duplicate_of, c.lane, c.not_before,
       c.away_from, c.created_at, c.updated_at, c.completed_at,
       ARRAY(SELECT s.stage FROM stored_stages s WHERE s.call_id = c.call_id
             ORDER BY s.stored_at) AS stages
FROM calls c LEFT JOIN recordings r USING (call_id)
WHERE c.call_id = ANY(%(call_ids)s) ORDER BY c.created_at DESC, c.call_id DESC;
