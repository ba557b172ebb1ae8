-- The run that holds each of these calls, or stored of it what was stored last.
SELECT c.call_id, coalesce(c.claimed_by, (
           SELECT s.run_id FROM call_stages s WHERE s.call_id = c.call_id
           ORDER BY s.stored_at DESC LIMIT 1)) AS run_id
FROM calls c WHERE c.call_id = ANY(%(call_ids)s);
