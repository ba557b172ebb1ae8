-- How many mentions of complete calls wait to be judged, of how many calls, when the first may be
-- tried, and how many were given up.
SELECT count(*) FILTER (WHERE u.not_before IS NOT NULL) AS waiting,
       count(DISTINCT u.call_id) FILTER (WHERE u.not_before IS NOT NULL) AS waiting_calls,
       min(u.not_before) AS next_at,
       count(*) FILTER (WHERE u.not_before IS NULL) AS given_up,
       count(DISTINCT u.call_id) FILTER (WHERE u.not_before IS NULL) AS given_up_calls
FROM unjudged u JOIN mentions m USING (call_id, mention_id) JOIN calls c USING (call_id)
WHERE m.status = 'accepted' AND c.state = 'COMPLETED';
