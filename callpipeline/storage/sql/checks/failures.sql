-- Calls that ended since a time, those that failed, those that failed by another cause than an
-- engine that was away, the reasons, and the newest failures.
WITH ended AS (
    SELECT call_id, state, completed_at, error_stage AS stage,
           coalesce(error_class, 'an unknown error') AS error
    FROM calls
    -- No call changes before it ends: updated_at is there for the index.
    WHERE state IN ('COMPLETED', 'FAILED') AND updated_at >= %(since)s AND completed_at >= %(since)s
), failed AS (
    SELECT * FROM ended WHERE state = 'FAILED'
)
SELECT (SELECT count(*) FROM ended) AS looked, count(*) AS found,
       count(*) FILTER (WHERE error <> %(away)s) AS otherwise,
       (SELECT coalesce(jsonb_agg(r ORDER BY r.calls DESC, r.stage, r.error), '[]')
        FROM (SELECT stage, error, count(*) AS calls FROM failed GROUP BY stage, error
              ORDER BY calls DESC, stage, error LIMIT %(most)s) AS r) AS reasons,
       (SELECT coalesce(jsonb_agg(n ORDER BY n.completed_at DESC, n.call_id), '[]')
        FROM (SELECT * FROM failed ORDER BY completed_at DESC, call_id LIMIT %(most)s) AS n)
           AS newest
FROM failed;
