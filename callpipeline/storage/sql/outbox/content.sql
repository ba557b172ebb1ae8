-- What a message is about: its incident, and its events taken together.
SELECT n.notification_id::text, n.channel, n.part, n.created_at,
       i.incident_id, i.kind, i.stage, i.recovers, i.opened_at, i.last_event_at, i.cleared_at,
       (SELECT count(*) FROM outbox o WHERE o.incident_id = i.incident_id) AS events_in_all,
       (SELECT count(*) FROM outbox o
        WHERE o.incident_id = i.incident_id AND o.call_id IS NOT NULL) AS calls_in_all,
       (SELECT count(DISTINCT o.call_id) FROM outbox o JOIN calls c USING (call_id)
        WHERE o.incident_id = i.incident_id AND c.state = 'FAILED') AS calls_still_failed,
       (SELECT f.receipt FROM notifications f
        WHERE f.incident_id = n.incident_id AND f.channel = n.channel AND f.number < n.number
          AND f.receipt IS NOT NULL ORDER BY f.number LIMIT 1) AS first_receipt,
       (SELECT f.notification_id::text FROM notifications f
        WHERE f.incident_id = n.incident_id AND f.channel = n.channel AND f.number < n.number
        ORDER BY f.number LIMIT 1) AS first_id
FROM notifications n JOIN incidents i USING (incident_id)
WHERE n.notification_id = %(notification_id)s::uuid;
