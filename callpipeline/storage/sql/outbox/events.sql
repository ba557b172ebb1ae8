-- The events that a message tells, oldest first, with the recordings of their calls. Without any,
-- as when something is over, those of its incident.
WITH own AS (
    SELECT e.event_id FROM notification_events e
    WHERE e.notification_id = %(notification_id)s::uuid
), wanted AS (
    SELECT event_id FROM own
    UNION ALL
    SELECT o.event_id FROM outbox o JOIN notifications n USING (incident_id)
    WHERE n.notification_id = %(notification_id)s::uuid AND NOT EXISTS (SELECT FROM own)
)
SELECT o.event_id::text, o.kind, o.severity, o.title, o.message, o.call_id, c.key, o.run_id, o.stage,
       o.error_class, o.error_message, o.metadata, o.occurred_at,
       count(*) OVER () AS events, max(o.occurred_at) OVER () AS last_at,
       max(array_position(ARRAY['info', 'warning', 'error', 'critical'], o.severity)) OVER ()
           AS rank
FROM wanted JOIN outbox o USING (event_id) LEFT JOIN calls c USING (call_id)
ORDER BY o.occurred_at, o.event_id LIMIT %(limit)s;
