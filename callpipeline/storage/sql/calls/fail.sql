-- The call ends with a reason, or waits to be tried again: an error that another try may cure has
-- as many waits, in seconds, as there are tries left. Its run lives, so the call has not killed it.
-- While a service is away (`away_s` until it is tried again) its calls lose no try, but wait no
-- longer than patience allows. `away_from` names the service where all runs know that it is away.
UPDATE calls SET
    state = CASE WHEN tried.again_s IS NULL THEN 'FAILED' ELSE 'PENDING' END,
    completed_at = CASE WHEN tried.again_s IS NULL THEN now() END,
    not_before = now() + tried.again_s * interval '1 second',
    retries = retries + CASE WHEN tried.again_s IS NULL OR tried.is_away THEN 0 ELSE 1 END,
    away_since = CASE WHEN tried.again_s IS NOT NULL AND tried.is_away
                      THEN coalesce(away_since, now()) END,
    away_from = CASE WHEN tried.again_s IS NOT NULL AND tried.is_away THEN %(away_from)s END,
    claimed_by = NULL, attempts = 0, fruitless = 0, given_back = 0, updated_at = now(),
    error_stage = %(stage)s, error_class = %(error_class)s, error_message = %(message)s,
    error_transient = %(transient)s
FROM (SELECT %(away_s)s::float IS NOT NULL AS is_away,
             CASE WHEN %(away_s)s::float IS NOT NULL THEN
                      CASE WHEN coalesce(now() - away_since, interval '0')
                                < %(patience_s)s * interval '1 second' THEN %(away_s)s::float END
                  WHEN %(transient)s THEN (%(waits_s)s::float[])[retries + 1] END AS again_s
      FROM calls WHERE call_id = %(call_id)s) AS tried
WHERE call_id = %(call_id)s AND claimed_by = %(run_id)s AND state = 'PROCESSING'
RETURNING not_before;
