-- A person wants calls that failed to be tried again, before all that merely wait.
UPDATE calls SET
    state = 'PENDING', priority = %(priority)s, lane = %(lane)s, attempts = 0, retries = 0,
    fruitless = 0, given_back = 0, not_before = now(), completed_at = NULL, updated_at = now()
WHERE state = 'FAILED' AND call_id = ANY(%(call_ids)s)
RETURNING call_id;
