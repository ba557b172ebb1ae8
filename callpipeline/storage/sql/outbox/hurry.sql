-- A channel takes messages again: those that wait for their next try are due now, each once.
UPDATE notifications SET
    not_before = greatest(%(now)s::timestamptz, asked_until), hurried = true
WHERE channel = %(channel)s AND state = 'PENDING' AND attempts > 0 AND not_before > %(now)s
  AND leased_until IS NULL AND NOT hurried
RETURNING notification_id;
