-- Days with calls that ended, were linked or erased since a time and after the day was counted. A
-- minute is added for changes that were not committed yet when it was. Days to come are there too,
-- as far as a wrong time zone may put them.
WITH changed AS (
    SELECT (coalesce(started_at, last_modified) AT TIME ZONE 'UTC')::date AS day, updated_at
    FROM calls
    WHERE state IN ('COMPLETED', 'FAILED', 'DUPLICATE', 'ERASED') AND updated_at > %(since)s
)
SELECT day, min(c.updated_at) AS first_changed_at, max(c.updated_at) AS last_changed_at
FROM changed c LEFT JOIN daily_calls d USING (day)
WHERE day BETWEEN %(first)s AND (now() AT TIME ZONE 'UTC')::date + 2
  AND (d.made_at IS NULL OR c.updated_at > d.made_at - interval '1 minute')
GROUP BY day
ORDER BY day;
