-- The call failed for a reason that another copy of its bytes may not share: the oldest duplicate
-- waits in its place, and the bytes and the other duplicates are its own now.
WITH heir AS (
    UPDATE calls SET state = 'PENDING', duplicate_of = NULL, not_before = NULL,
        completed_at = NULL, updated_at = now()
    WHERE call_id = (SELECT call_id FROM calls
                     WHERE duplicate_of = %(call_id)s AND state = 'DUPLICATE'
                     ORDER BY created_at, call_id LIMIT 1)
    RETURNING call_id
), others AS (
    UPDATE calls SET duplicate_of = heir.call_id FROM heir
    WHERE calls.duplicate_of = %(call_id)s AND calls.call_id <> heir.call_id
)
UPDATE contents SET call_id = heir.call_id FROM heir WHERE contents.call_id = %(call_id)s;
