-- Calls of the live lane that wait for a run, those that have waited since before a time, since
-- when the longest waits, and the newest of those that wait too long.
WITH waiting AS (
    SELECT call_id, greatest(created_at, not_before) AS since FROM calls
    WHERE state = 'PENDING' AND lane = 'live'
      AND (not_before IS NULL OR not_before <= %(now)s)
)
SELECT count(*) AS looked, count(*) FILTER (WHERE since < %(long_before)s) AS found,
       min(since) AS oldest_at,
       (SELECT coalesce(jsonb_agg(n ORDER BY n.since DESC, n.call_id), '[]')
        FROM (SELECT * FROM waiting WHERE since < %(long_before)s
              ORDER BY since DESC, call_id LIMIT %(most)s) AS n) AS newest
FROM waiting;
