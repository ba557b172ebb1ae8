-- Calls that first ended before a time and whose recording was not deleted yet, oldest first.
SELECT c.call_id, c.bucket FROM calls c
WHERE c.first_ended_at < %(older_than)s AND c.state IN ('COMPLETED', 'FAILED', 'DUPLICATE')
  AND c.call_id > %(after)s
  AND NOT EXISTS (SELECT FROM deletions d
                  WHERE d.call_id = c.call_id AND d.what = 'recording')
ORDER BY c.call_id LIMIT %(limit)s;
