-- Put waiting calls that no run was asked for into one batch, oldest first.
WITH waiting AS MATERIALIZED (
    SELECT call_id FROM calls WHERE state = 'PENDING' AND batch_id IS NULL
    ORDER BY created_at, call_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE calls SET batch_id = %(batch_id)s, updated_at = now()
FROM waiting WHERE calls.call_id = waiting.call_id
RETURNING calls.call_id;
