-- Those of the days of which a call went when its time was over: what was counted of them stays.
SELECT DISTINCT day
FROM (SELECT call_id, (coalesce(started_at, last_modified) AT TIME ZONE 'UTC')::date AS day
      FROM calls) AS c JOIN erasures e USING (call_id)
WHERE c.day = ANY(%(days)s) AND e.by_retention ORDER BY day;
