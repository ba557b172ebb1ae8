-- Delete events that are older than a time and told to all who were to know, with the messages of
-- incidents that are over and have no event any more. Some at a time.
WITH old AS (
    SELECT o.event_id, o.incident_id FROM outbox o JOIN incidents i USING (incident_id)
    WHERE o.occurred_at < %(older_than)s AND o.untold = '{}' AND i.closed_at IS NOT NULL
      AND NOT EXISTS (SELECT FROM notifications n
                      WHERE n.incident_id = o.incident_id AND n.state = 'PENDING')
    ORDER BY o.occurred_at LIMIT %(limit)s
), gone AS (
    DELETE FROM outbox o USING old WHERE o.event_id = old.event_id RETURNING o.event_id
)
SELECT count(*) AS items FROM gone;
