-- A run takes the mentions of a complete call that are to be judged now: a try, which counts
-- whatever becomes of the run. Until the next one no other run takes them. Those whose tries are
-- used up, since runs died of them, are given up instead.
WITH call AS MATERIALIZED (
    SELECT call_id FROM calls WHERE call_id = %(call_id)s AND state = 'COMPLETED'
    FOR NO KEY UPDATE
)
UPDATE unjudged u SET
    asked_by = CASE WHEN u.tries <= %(most)s THEN %(run_id)s::text END,
    tries = CASE WHEN u.tries <= %(most)s THEN u.tries + 1 ELSE u.tries END,
    not_before = CASE WHEN u.tries <= %(most)s
        THEN now() + (%(waits_s)s::float[])[least(u.tries + 1, %(most)s)] * interval '1 second' END,
    updated_at = now()
FROM call, mentions m
WHERE u.call_id = call.call_id AND m.call_id = u.call_id AND m.mention_id = u.mention_id
  AND m.status = 'accepted' AND (u.not_before <= now() OR u.not_before IS NOT NULL AND u.away_from IS NOT NULL
       AND NOT EXISTS (SELECT FROM outages WHERE service = u.away_from))
  AND EXISTS (SELECT FROM stored_stages s WHERE s.call_id = u.call_id AND s.stage = 'transcripts')
RETURNING u.mention_id, u.asked_by IS NOT NULL AS is_taken;
