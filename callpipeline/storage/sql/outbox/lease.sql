-- Take the next message to a channel that is due, to deliver it: those of one incident in their
-- order. Whoever took it and died has it no longer when its lease ends.
UPDATE notifications SET
    leased_until = %(now)s::timestamptz + %(lease_s)s * interval '1 second', attempts = attempts + 1
WHERE notification_id = (
    SELECT n.notification_id FROM notifications n
    WHERE n.channel = %(channel)s AND n.state = 'PENDING' AND n.not_before <= %(now)s
      AND (n.leased_until IS NULL OR n.leased_until <= %(now)s)
      AND NOT EXISTS (SELECT FROM notifications e
                      WHERE e.incident_id = n.incident_id AND e.channel = n.channel
                        AND e.state = 'PENDING' AND e.number < n.number)
    ORDER BY n.not_before, n.number LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING notification_id::text, attempts, attempts - attempts_before AS tries;
