-- Mentions that could not be judged again: the next try was set when they were taken. It is dropped
-- where another try cannot help, or where there were enough.
UPDATE unjudged u SET
    reason = n.reason, error_class = n.error_class, transient = n.transient, updated_at = now(),
    not_before = CASE WHEN n.transient AND u.tries <= %(most)s THEN u.not_before END
FROM unnest(%(mention_id)s::text[], %(reason)s::text[], %(error_class)s::text[],
            %(transient)s::boolean[]) AS n (mention_id, reason, error_class, transient)
WHERE u.call_id = %(call_id)s AND u.mention_id = n.mention_id AND u.asked_by = %(run_id)s;
