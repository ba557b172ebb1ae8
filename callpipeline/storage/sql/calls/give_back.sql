-- A run that ends in order gives back what it holds; it lives, so no call has killed it.
UPDATE calls SET state = 'PENDING', claimed_by = NULL, batch_id = NULL, attempts = 0,
    updated_at = now()
WHERE claimed_by = %(run_id)s AND state = 'PROCESSING'
RETURNING call_id;
