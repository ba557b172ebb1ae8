-- Put waiting calls of a lane that no run was asked for into one batch: what is urgent first,
-- then the oldest. A call whose next lost run would be its last runs alone: else those that were
-- under way beside the one that kills its runs would fail with it. A batch that is there already
-- is returned as it is: the connection may have been cut after it was made.
-- Of the calls that wait for a service which is away one alone goes, when it is to be tried: each
-- time another one, for it may be what the service chokes on. Those whose patience is over go too.
WITH made AS MATERIALIZED (
    SELECT call_id, priority FROM calls WHERE state = 'PENDING' AND batch_id = %(batch_id)s
), tries AS MATERIALIZED (
    SELECT o.service, (
        SELECT call_id FROM calls
        WHERE away_from = o.service AND state = 'PENDING' AND batch_id IS NULL AND lane = %(lane)s
          AND (not_before IS NULL OR not_before <= now())
        ORDER BY priority DESC, updated_at, call_id LIMIT 1) AS call_id
    FROM outages o
    WHERE o.again_at <= now()
      AND (o.asked_at IS NULL OR o.asked_at < now() - %(unasked_s)s * interval '1 second')
), waiting AS MATERIALIZED (
    SELECT call_id, priority, created_at, attempts >= %(suspect_attempts)s AS suspect FROM calls
    WHERE state = 'PENDING' AND batch_id IS NULL AND lane = %(lane)s
      AND CASE WHEN away_from IS NULL THEN not_before IS NULL OR not_before <= now()
               ELSE call_id IN (SELECT call_id FROM tries)
                    OR away_since < now() - %(patience_s)s * interval '1 second'
                    OR NOT EXISTS (SELECT FROM outages WHERE service = away_from) END
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
), asked AS (
    UPDATE outages o SET asked_at = now() FROM tries JOIN taken USING (call_id)
    WHERE o.service = tries.service
)
SELECT call_id, priority FROM taken UNION ALL SELECT call_id, priority FROM made;
