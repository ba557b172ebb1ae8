-- Calls that are to be erased: these, or those of a customer, with all that are of the same bytes,
-- since they are the same conversation.
WITH asked AS (
    SELECT call_id, sha256 FROM calls
    WHERE state <> 'ERASED'
      AND (call_id = ANY(%(call_ids)s) OR lower(metadata ->> 'customer') = lower(%(customer)s))
)
SELECT call_id, state, coalesce(started_at, last_modified) AS took_place_at, key,
       metadata ->> 'customer' AS customer, call_id IN (SELECT call_id FROM asked) AS is_asked_for
FROM calls
WHERE state <> 'ERASED'
  AND (call_id IN (SELECT call_id FROM asked) OR sha256 IN (SELECT sha256 FROM asked))
ORDER BY took_place_at, call_id;
