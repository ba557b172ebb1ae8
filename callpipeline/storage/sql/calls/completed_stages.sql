-- The stages of completed calls that one of these runs stored.
SELECT s.run_id, s.call_id, s.stage FROM call_stages s JOIN calls c USING (call_id)
WHERE s.run_id = ANY(%(run_ids)s) AND c.state = 'COMPLETED'
ORDER BY s.stored_at;
