-- The call ends with a reason. Its run lives, so it is not one that kills its runs.
UPDATE calls SET
    state = 'FAILED', claimed_by = NULL, attempts = 0, completed_at = now(), updated_at = now(),
    error_stage = %(stage)s, error_class = %(error_class)s, error_message = %(message)s,
    error_transient = %(transient)s
WHERE call_id = %(call_id)s AND claimed_by = %(run_id)s AND state = 'PROCESSING'
RETURNING call_id;
