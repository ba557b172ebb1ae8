-- A run that ends in order gives back what it holds; it lives, so no call has killed it. Whatever
-- ended it may end the next one too: its calls wait, longer each time it happens.
UPDATE calls SET state = 'PENDING', claimed_by = NULL, batch_id = NULL, batched_at = NULL,
    attempts = 0, fruitless = fruitless + 1, updated_at = now(),
    not_before = now() + least(%(first_wait_s)s * 2 ^ least(fruitless, 20), %(longest_wait_s)s)
                         * interval '1 second'
WHERE claimed_by = %(run_id)s AND state = 'PROCESSING'
RETURNING call_id;
