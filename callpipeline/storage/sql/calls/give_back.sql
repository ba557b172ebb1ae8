-- A run that ends in order gives back what it holds; it lives, so no call has killed it. Whatever
-- ended it may end the next one too: its calls wait, longer each time it happens in a row, and
-- end FAILED when it happened too often.
UPDATE calls SET
    state = CASE WHEN given.out THEN 'FAILED' ELSE 'PENDING' END,
    error_stage = CASE WHEN given.out THEN 'run' END,
    error_class = CASE WHEN given.out THEN %(error_class)s END,
    error_message = CASE WHEN given.out THEN %(message)s END,
    error_transient = CASE WHEN given.out THEN false END,
    completed_at = CASE WHEN given.out THEN now() END,
    claimed_by = NULL, away_from = NULL, batch_id = NULL, batched_at = NULL, attempts = 0,
    fruitless = fruitless + 1, given_back = given_back + 1, updated_at = now(),
    not_before = CASE WHEN NOT given.out THEN
        now() + least(%(first_wait_s)s * 2 ^ least(fruitless, 20), %(longest_wait_s)s)
                * interval '1 second' END
FROM (SELECT call_id, given_back + 1 >= %(most)s AS out FROM calls
      WHERE claimed_by = %(run_id)s) AS given
WHERE calls.call_id = given.call_id AND claimed_by = %(run_id)s AND state = 'PROCESSING'
RETURNING calls.call_id;
