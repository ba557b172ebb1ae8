-- name: daily_digest
-- Count what happened since a time: calls by outcome and by error class, and calls that wait.
SELECT (SELECT count(*) FROM calls WHERE created_at >= %(since)s) AS arrived,
       (SELECT count(*) FROM calls WHERE state = 'COMPLETED' AND completed_at >= %(since)s)
           AS completed,
       (SELECT count(*) FROM calls WHERE state = 'FAILED' AND completed_at >= %(since)s) AS failed,
       (SELECT count(*) FROM calls WHERE state IN ('PENDING', 'PROCESSING')) AS waiting,
       (SELECT count(*) FROM mentions m JOIN calls c USING (call_id)
        WHERE c.completed_at >= %(since)s AND m.status = 'counted') AS mentions,
       (SELECT coalesce(jsonb_object_agg(error_class, calls), '{}')
        FROM (SELECT coalesce(error_class, 'an unknown error') AS error_class, count(*) AS calls
              FROM calls
              WHERE state = 'FAILED' AND completed_at >= %(since)s GROUP BY 1) AS f)
           AS failures;

-- name: failing_engines
-- List stages whose engine fails: calls that met an unavailable engine, and wait or failed, since
-- the stage was last stored for any call. An outage counts even for a single call, once it lasts.
-- While all runs know of it the calls wait untouched.
WITH stored AS (
    SELECT stage, max(stored_at) AS last_at FROM call_stages GROUP BY stage
)
SELECT c.error_stage AS stage, count(*) AS calls, min(c.updated_at) AS since,
       (array_agg(c.error_class ORDER BY c.updated_at DESC))[1] AS error_class,
       (array_agg(c.error_message ORDER BY c.updated_at DESC))[1] AS error_message
FROM calls c LEFT JOIN stored s ON s.stage = c.error_stage
LEFT JOIN outages o ON o.service = c.unavailable_service
WHERE c.error_class IN ('EngineUnavailable', 'ServiceUnavailable')
  AND (o.service IS NOT NULL AND c.state = 'PENDING'
       OR (c.state = 'FAILED' OR c.state = 'PENDING' AND c.batch_id IS NULL AND c.next_attempt_at > now())
          AND c.updated_at > greatest(coalesce(s.last_at, '-infinity'),
                                      now() - %(within_s)s * interval '1 second'))
GROUP BY c.error_stage
HAVING count(*) >= %(least)s AND count(*) > count(o.service)
    OR min(c.unavailable_since) < now() - %(away_s)s * interval '1 second';

-- name: last_digest
-- Select the time of the last digest, or null.
SELECT max(occurred_at) AS at FROM outbox
WHERE group_key LIKE 'daily_digest:%%' AND kind = 'daily_digest';

-- name: newest_call
-- Select the time when the last recording was registered, or null.
SELECT max(created_at) AS created_at FROM calls;
