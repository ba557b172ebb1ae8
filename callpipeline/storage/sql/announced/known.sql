-- The call that an announcement has become before: by the key that was sent with it, else while
-- what was announced is still to be fetched; or its tombstone.
SELECT a.call_id FROM announced a JOIN calls c USING (call_id)
WHERE a.identity = %(identity)s
  AND (%(is_keyed)s OR a.url IS NOT NULL AND c.state IN ('PENDING', 'PROCESSING'))
UNION ALL
SELECT call_id FROM calls
WHERE state = 'ERASED' AND right(call_id, 12) = right(%(call_id)s, 12)
LIMIT 1;
