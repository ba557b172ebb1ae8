-- The run has done its part of the call. Complete means that every stage is stored;
-- a run over some of the stages of a call that never had the others leaves it waiting for them.
UPDATE calls SET
    state = CASE WHEN (SELECT count(*) FROM call_stages s WHERE s.call_id = calls.call_id)
                      >= %(stage_count)s THEN 'COMPLETED' ELSE 'PENDING' END,
    completed_at = CASE WHEN (SELECT count(*) FROM call_stages s WHERE s.call_id = calls.call_id)
                             >= %(stage_count)s THEN now() END,
    claimed_by = NULL, attempts = 0, updated_at = now()
WHERE call_id = %(call_id)s AND claimed_by = %(run_id)s AND state = 'PROCESSING'
RETURNING state;
