-- What was over has begun again before people were told that it was over: they are not.
WITH gone AS (
    DELETE FROM notifications n USING incidents i
    WHERE n.incident_id = i.incident_id AND i.closed_at IS NULL
      AND n.part = 'recovery' AND n.state = 'PENDING' AND n.attempts = 0
    RETURNING n.notification_id, n.channel
), untold AS (
    SELECT e.event_id, array_agg(e.channel) AS channels
    FROM notification_events e JOIN gone USING (notification_id) GROUP BY e.event_id
)
UPDATE outbox o SET untold = o.untold || untold.channels
FROM untold WHERE o.event_id = untold.event_id;
