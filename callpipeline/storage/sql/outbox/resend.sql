-- A person wants messages to be delivered, also again; their waits begin anew.
UPDATE notifications SET
    state = 'PENDING', delivered_at = NULL, not_before = %(now)s, attempts_before = attempts,
    asked_until = NULL, hurried = false
WHERE CASE WHEN %(undelivered)s THEN state = 'GAVE_UP' OR state = 'PENDING' AND attempts > 0
           ELSE notification_id = ANY(%(notification_ids)s::uuid[]) END
  AND (leased_until IS NULL OR leased_until <= %(now)s)
RETURNING notification_id::text;
