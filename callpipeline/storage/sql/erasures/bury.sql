-- Make tombstones of calls: they tell the day, so that it can be counted anew, and by the hashes in
-- id and sha256 that the same object, or the same bytes, are not to come in again. The bytes of what
-- went by its age may come in again; so may those that are no sound, which many calls may share.
UPDATE calls SET
    state = 'ERASED', bucket = '', key = '(erased)', etag = call_id, size_bytes = 0,
    sha256 = CASE WHEN %(by_retention)s OR state = 'FAILED' AND error_stage = 'channel_audio'
             THEN NULL ELSE sha256 END,
    last_modified = date_trunc('day', coalesce(started_at, last_modified), 'UTC'),
    agent_channel = 'left', metadata = '{}', started_at = NULL, duplicate_of = NULL, lane = 'live',
    priority = 0, batch_id = NULL, batched_at = NULL, fruitless = 0, given_back = 0,
    claimed_by = NULL, attempts = 0, retries = 0, not_before = NULL, away_since = NULL, away_from = NULL,
    error_stage = NULL,
    error_class = NULL, error_message = NULL, error_transient = NULL, created_at = now(),
    completed_at = now(), first_ended_at = NULL, updated_at = now()
WHERE call_id = ANY(%(call_ids)s)
RETURNING call_id;
