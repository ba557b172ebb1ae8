-- Days with calls that ended, were linked or erased since a time and after the day was counted. A
-- minute is added for changes that were not committed yet when it was. Days to come are there too,
-- as far as a wrong time zone may put them; days of which a call went when its time was over are not.
WITH changed AS (
    SELECT (coalesce(started_at, last_modified) AT TIME ZONE 'UTC')::date AS day, updated_at
    FROM calls
    WHERE state IN ('COMPLETED', 'FAILED', 'DUPLICATE', 'ERASED') AND updated_at > %(since)s
), stale AS (
    SELECT day, min(c.updated_at) AS first_changed_at, max(c.updated_at) AS last_changed_at
    FROM changed c LEFT JOIN daily_calls d USING (day)
    WHERE day BETWEEN %(first)s AND (now() AT TIME ZONE 'UTC')::date + 2
      AND (d.made_at IS NULL OR c.updated_at > d.made_at - interval '1 minute')
    GROUP BY day
)
SELECT * FROM stale
WHERE NOT EXISTS (
    SELECT FROM calls c JOIN erasures e USING (call_id)
    WHERE e.by_retention
      AND (coalesce(c.started_at, c.last_modified) AT TIME ZONE 'UTC')::date = stale.day)
ORDER BY day;
