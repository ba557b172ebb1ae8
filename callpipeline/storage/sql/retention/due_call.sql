-- Calls that first ended before a time, oldest first.
SELECT c.call_id, c.bucket FROM calls c
WHERE c.first_ended_at < %(older_than)s AND c.state IN ('COMPLETED', 'FAILED', 'DUPLICATE')
  AND c.call_id > %(after)s
ORDER BY c.call_id LIMIT %(limit)s;
