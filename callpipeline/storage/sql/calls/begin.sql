-- The run begins to work on a call: an attempt, which counts if the run dies of it.
UPDATE calls SET attempts = attempts + 1, updated_at = now()
WHERE call_id = %(call_id)s AND claimed_by = %(run_id)s AND state = 'PROCESSING'
RETURNING attempts;
