-- A person wants calls that wait for their next try to be tried now.
UPDATE calls SET
    priority = %(priority)s, lane = %(lane)s, retries = 0, fruitless = 0, given_back = 0,
    not_before = now(), updated_at = now()
WHERE state = 'PENDING' AND batch_id IS NULL AND call_id = ANY(%(call_ids)s)
RETURNING call_id;
