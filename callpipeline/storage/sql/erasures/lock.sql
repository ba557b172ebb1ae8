-- Lock calls in one order; a run that writes results of one ends its transaction first. With a time,
-- only those that had ended before it.
SELECT call_id FROM calls
WHERE call_id = ANY(%(call_ids)s) AND state <> 'ERASED'
  AND (%(ended_before)s::timestamptz IS NULL
       OR first_ended_at < %(ended_before)s AND state IN ('COMPLETED', 'FAILED', 'DUPLICATE'))
ORDER BY call_id FOR UPDATE;
