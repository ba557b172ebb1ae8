-- Messages whose id begins so.
SELECT notification_id::text FROM notifications
WHERE starts_with(notification_id::text, %(prefix)s) ORDER BY number DESC LIMIT 2;
