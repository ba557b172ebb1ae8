-- The call is of the same bytes as another one: it ends here, and says of which.
UPDATE calls SET
    state = 'DUPLICATE', duplicate_of = %(first)s, claimed_by = NULL, batch_id = NULL,
    batched_at = NULL, attempts = 0, retries = 0, fruitless = 0, given_back = 0,
    not_before = NULL, away_since = NULL, away_from = NULL, completed_at = now(), updated_at = now()
WHERE call_id = %(call_id)s AND state IN ('PENDING', 'PROCESSING')
  AND claimed_by IS NOT DISTINCT FROM %(run_id)s
RETURNING call_id;
