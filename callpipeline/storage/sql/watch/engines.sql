-- Stages whose engine does not work: calls that met an engine which was not available, wait for
-- their next try or have failed, since the stage was stored for any call the last time. That a
-- service is away takes no crowd to be believed, but more than a moment; while all runs know it to be
-- away its calls wait untouched, for as long as that takes.
WITH stored AS (
    SELECT stage, max(stored_at) AS last_at FROM call_stages GROUP BY stage
)
SELECT c.error_stage AS stage, count(*) AS calls, min(c.updated_at) AS since,
       (array_agg(c.error_class ORDER BY c.updated_at DESC))[1] AS error_class,
       (array_agg(c.error_message ORDER BY c.updated_at DESC))[1] AS error_message
FROM calls c LEFT JOIN stored s ON s.stage = c.error_stage
LEFT JOIN outages o ON o.service = c.away_from
WHERE c.error_class IN ('EngineUnavailable', 'EngineAway')
  AND (o.service IS NOT NULL AND c.state = 'PENDING'
       OR (c.state = 'FAILED' OR c.state = 'PENDING' AND c.batch_id IS NULL AND c.not_before > now())
          AND c.updated_at > greatest(coalesce(s.last_at, '-infinity'),
                                      now() - %(within_s)s * interval '1 second'))
GROUP BY c.error_stage
HAVING count(*) >= %(least)s AND count(*) > count(o.service)
    OR min(c.away_since) < now() - %(away_s)s * interval '1 second';
