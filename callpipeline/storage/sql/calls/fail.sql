-- The call ends with a reason, or waits to be tried again: an error that another try may cure has
-- as many waits, in seconds, as there are tries left. Its run lives, so the call has not killed it.
UPDATE calls SET
    state = CASE WHEN tried.again_s IS NULL THEN 'FAILED' ELSE 'PENDING' END,
    completed_at = CASE WHEN tried.again_s IS NULL THEN now() END,
    not_before = now() + tried.again_s * interval '1 second',
    retries = retries + CASE WHEN tried.again_s IS NULL THEN 0 ELSE 1 END,
    claimed_by = NULL, attempts = 0, fruitless = 0, given_back = 0, updated_at = now(),
    error_stage = %(stage)s, error_class = %(error_class)s, error_message = %(message)s,
    error_transient = %(transient)s
FROM (SELECT CASE WHEN %(transient)s THEN (%(waits_s)s::float[])[retries + 1] END AS again_s
      FROM calls WHERE call_id = %(call_id)s) AS tried
WHERE call_id = %(call_id)s AND claimed_by = %(run_id)s AND state = 'PROCESSING'
RETURNING not_before;
