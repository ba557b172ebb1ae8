-- Make tombstones of calls: they tell the day, so that it can be counted anew, and by the hashes in
-- id and sha256 that the same object, or the same bytes, are not to come in again.
UPDATE calls SET
    state = 'ERASED', bucket = '', key = '(erased)', etag = call_id, size_bytes = 0,
    last_modified = date_trunc('day', coalesce(started_at, last_modified), 'UTC'), agent_channel = 'left', metadata = '{}',
    started_at = NULL, duplicate_of = NULL, lane = 'live', priority = 0, batch_id = NULL,
    batched_at = NULL, fruitless = 0, given_back = 0, claimed_by = NULL, attempts = 0, retries = 0,
    not_before = NULL, error_stage = NULL, error_class = NULL, error_message = NULL,
    error_transient = NULL, created_at = now(), completed_at = now(), updated_at = now()
WHERE call_id = ANY(%(call_ids)s)
RETURNING call_id;
