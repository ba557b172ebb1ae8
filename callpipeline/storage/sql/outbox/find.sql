-- Messages whose id begins so, or those that tell an event whose id begins so.
SELECT notification_id::text, notification_id::text AS found FROM notifications
WHERE starts_with(notification_id::text, %(prefix)s)
UNION
SELECT notification_id::text, event_id::text FROM notification_events
WHERE starts_with(event_id::text, %(prefix)s)
LIMIT 20;
