-- Complete calls with mentions that are to be judged now: first those that a person asked for, then
-- those that were tried the fewest times.
SELECT u.call_id FROM unjudged u JOIN mentions m USING (call_id, mention_id) JOIN calls c USING (call_id)
WHERE u.not_before <= now() AND m.status = 'accepted' AND c.state = 'COMPLETED'
  AND EXISTS (SELECT FROM stored_stages s WHERE s.call_id = u.call_id AND s.stage = 'transcripts')
GROUP BY u.call_id ORDER BY min(u.tries), min(u.not_before), u.call_id LIMIT %(limit)s;
