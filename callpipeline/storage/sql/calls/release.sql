-- Give back the calls of runs that are gone: to wait again, or FAILED after too many lost attempts.
WITH gone AS (
    DELETE FROM runs WHERE run_id = ANY(%(run_ids)s)
)
UPDATE calls SET
    state = CASE WHEN attempts >= %(max_attempts)s THEN 'FAILED' ELSE 'PENDING' END,
    error_stage = CASE WHEN attempts >= %(max_attempts)s THEN 'run' END,
    error_class = CASE WHEN attempts >= %(max_attempts)s THEN %(error_class)s END,
    error_message = CASE WHEN attempts >= %(max_attempts)s THEN %(message)s END,
    error_transient = CASE WHEN attempts >= %(max_attempts)s THEN false END,
    completed_at = CASE WHEN attempts >= %(max_attempts)s THEN now() END,
    claimed_by = NULL, away_from = NULL, batch_id = NULL, batched_at = NULL, not_before = now(), updated_at = now()
WHERE claimed_by = ANY(%(run_ids)s) AND state = 'PROCESSING'
RETURNING call_id, state;
