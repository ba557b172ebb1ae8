-- Calls that first ended before a time and of which transcripts are there, oldest first.
SELECT c.call_id, c.bucket FROM calls c JOIN stored_stages s USING (call_id)
WHERE c.first_ended_at < %(older_than)s AND c.state IN ('COMPLETED', 'FAILED')
  AND s.stage = 'transcripts' AND c.call_id > %(after)s
ORDER BY c.call_id LIMIT %(limit)s;
