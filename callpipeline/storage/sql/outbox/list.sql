-- Messages as a person looks at them, newest first, with the last answer to each.
SELECT n.notification_id::text, n.channel, n.part, n.state, n.created_at, n.not_before, n.attempts,
       n.delivered_at, i.kind, i.stage, i.group_key,
       (SELECT count(*) FROM notification_events e WHERE e.notification_id = n.notification_id)
           AS events,
       (SELECT CASE WHEN o.title <> '' THEN o.title
                    ELSE replace(o.kind, '_', ' ') || coalesce(' at ' || o.stage, '')
                         || coalesce(' (' || o.error_class || ')', '') END
        FROM outbox o WHERE o.incident_id = n.incident_id
        ORDER BY o.occurred_at LIMIT 1) AS title,
       (SELECT min(o.call_id) FROM notification_events e JOIN outbox o USING (event_id)
        WHERE e.notification_id = n.notification_id) AS call_id,
       d.answer AS last_answer, d.at AS last_tried_at
FROM notifications n JOIN incidents i USING (incident_id)
LEFT JOIN LATERAL (SELECT answer, at FROM deliveries d
                   WHERE d.notification_id = n.notification_id
                   ORDER BY attempt DESC LIMIT 1) AS d ON true
WHERE (%(channel)s::text IS NULL OR n.channel = %(channel)s)
  AND (%(state)s::text IS NULL OR n.state = %(state)s)
ORDER BY n.number DESC LIMIT %(limit)s;
