-- A channel takes messages again: those that wait for their next try are due now.
UPDATE notifications SET not_before = %(now)s
WHERE channel = %(channel)s AND state = 'PENDING' AND attempts > 0 AND not_before > %(now)s
  AND leased_until IS NULL
RETURNING notification_id;
