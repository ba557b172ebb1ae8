-- The mentions of calls that could not be judged yet, and why.
SELECT u.call_id, u.mention_id, u.competitor, u.reason, u.error_class, u.transient, u.tries,
       u.not_before, u.updated_at
FROM unjudged u JOIN mentions m USING (call_id, mention_id)
WHERE u.call_id = ANY(%(call_ids)s) AND m.status = 'accepted'
ORDER BY u.call_id, m.start_s, u.mention_id;
