-- What was deleted, by day, reason and kind; newest first.
SELECT at::date AS day, why, what, sum(items)::bigint AS items, count(DISTINCT call_id) AS calls
FROM deletions WHERE at >= %(since)s
GROUP BY at::date, why, what ORDER BY day DESC, why, what;
