-- Note what came of a try to deliver a message, and when it is tried again. An answer that comes
-- after the message was delivered by another one is noted, and changes nothing.
WITH noted AS (
    INSERT INTO deliveries (notification_id, attempt, at, took_s, accepted, code, answer)
    VALUES (%(notification_id)s::uuid, %(attempt)s, %(now)s, %(took_s)s, %(accepted)s, %(code)s,
            %(answer)s)
    ON CONFLICT (notification_id, attempt) DO NOTHING
)
UPDATE notifications SET
    state = %(state)s, receipt = coalesce(%(receipt)s, receipt), leased_until = NULL,
    delivered_at = CASE WHEN %(accepted)s THEN %(now)s::timestamptz END,
    not_before = coalesce(%(not_before)s::timestamptz, not_before),
    asked_until = %(asked_until)s::timestamptz
WHERE notification_id = %(notification_id)s::uuid AND state <> 'DELIVERED'
RETURNING state;
