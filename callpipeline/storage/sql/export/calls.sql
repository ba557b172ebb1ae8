-- Calls, by when they took place.
SELECT c.* FROM analytics.calls c
WHERE (%(since)s::timestamptz IS NULL OR c.took_place_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR c.took_place_at < %(until)s)
  AND c.call_id IN (
    SELECT r.call_id FROM reading_calls r WHERE
    -- include reading/calls_wanted
  )
ORDER BY c.took_place_at, c.call_id;
