-- Which of these partition keys are of calls that ended before a time, or were wholly erased.
SELECT k.call_id FROM unnest(%(keys)s::text[]) AS k (call_id) JOIN calls c USING (call_id)
WHERE c.state = 'ERASED' AND NOT EXISTS (SELECT FROM erasures e WHERE e.call_id = c.call_id
                                         AND e.verified_at IS NULL)
   OR c.completed_at < %(older_than)s AND c.state IN ('COMPLETED', 'FAILED', 'DUPLICATE');
