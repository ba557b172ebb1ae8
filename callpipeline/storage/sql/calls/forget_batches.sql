-- Let calls whose batch will never run be put into another one, later each time it happens.
UPDATE calls SET away_from = NULL, batch_id = NULL, batched_at = NULL, fruitless = fruitless + 1,
    updated_at = now(),
    not_before = now() + least(%(first_wait_s)s * 2 ^ least(fruitless, 20), %(longest_wait_s)s)
                         * interval '1 second'
WHERE state = 'PENDING' AND batch_id = ANY(%(batch_ids)s)
RETURNING call_id;
