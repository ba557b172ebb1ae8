-- Which of these partition keys are of calls that ended before a time, or were erased.
SELECT k.call_id FROM unnest(%(keys)s::text[]) AS k (call_id) JOIN calls c USING (call_id)
WHERE c.state = 'ERASED'
   OR c.completed_at < %(older_than)s AND c.state IN ('COMPLETED', 'FAILED', 'DUPLICATE');
