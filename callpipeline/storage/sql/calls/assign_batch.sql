-- Put waiting calls of a lane that no run was asked for into one batch: what is urgent first,
-- then the oldest. A call whose next lost run would be its last runs alone: else those that were
-- under way beside the one that kills its runs would fail with it. A batch that is there already
-- is returned as it is: the connection may have been cut after it was made.
WITH made AS MATERIALIZED (
    SELECT call_id, priority FROM calls WHERE state = 'PENDING' AND batch_id = %(batch_id)s
), waiting AS MATERIALIZED (
    SELECT call_id, priority, created_at, attempts >= %(suspect_attempts)s AS suspect FROM calls
    WHERE state = 'PENDING' AND batch_id IS NULL AND lane = %(lane)s
      AND (not_before IS NULL OR not_before <= now())
      AND NOT EXISTS (SELECT FROM made)
    ORDER BY priority DESC, created_at, call_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), first AS (
    SELECT call_id, suspect FROM waiting ORDER BY priority DESC, created_at, call_id LIMIT 1
), taken AS (
    UPDATE calls SET batch_id = %(batch_id)s, batched_at = now(), updated_at = now()
    FROM waiting, first
    WHERE calls.call_id = waiting.call_id
      AND CASE WHEN first.suspect THEN waiting.call_id = first.call_id ELSE NOT waiting.suspect END
    RETURNING calls.call_id, calls.priority
)
SELECT call_id, priority FROM taken UNION ALL SELECT call_id, priority FROM made;
