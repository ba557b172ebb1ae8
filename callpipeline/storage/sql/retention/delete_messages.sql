-- Delete messages of incidents that are over and of which no event is kept.
WITH over AS (
    SELECT i.incident_id FROM incidents i
    WHERE i.closed_at < %(older_than)s
      AND NOT EXISTS (SELECT FROM outbox o WHERE o.incident_id = i.incident_id)
      AND NOT EXISTS (SELECT FROM notifications n
                      WHERE n.incident_id = i.incident_id
                        AND (n.state = 'PENDING' OR n.created_at >= %(older_than)s))
), messages AS (
    DELETE FROM notifications n USING over WHERE n.incident_id = over.incident_id
    RETURNING n.notification_id
)
SELECT (SELECT count(*) FROM messages) AS items, ARRAY(SELECT incident_id FROM over) AS incidents;
