-- Calls, by when they took place.
SELECT * FROM analytics.calls
WHERE (%(since)s::timestamptz IS NULL OR took_place_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR took_place_at < %(until)s)
ORDER BY took_place_at, call_id;
