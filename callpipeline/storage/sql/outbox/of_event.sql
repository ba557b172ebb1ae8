-- The messages that tell an event, with the last answer to each.
SELECT n.channel, n.state, d.answer
FROM notification_events e JOIN notifications n USING (notification_id)
LEFT JOIN LATERAL (SELECT answer FROM deliveries d WHERE d.notification_id = n.notification_id
                   ORDER BY attempt DESC LIMIT 1) AS d ON true
WHERE e.event_id = %(event_id)s::uuid ORDER BY n.channel;
