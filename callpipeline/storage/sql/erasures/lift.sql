-- Let the recordings of erased calls come in again: nothing is known of them any more.
DELETE FROM calls WHERE call_id = ANY(%(call_ids)s) AND state = 'ERASED'
  AND EXISTS (SELECT FROM erasures e WHERE e.call_id = calls.call_id AND e.verified_at IS NOT NULL)
RETURNING call_id;
