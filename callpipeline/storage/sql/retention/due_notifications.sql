-- How many events are older than a time and told to all who were to know.
SELECT count(*) AS items FROM outbox o LEFT JOIN incidents i USING (incident_id)
WHERE o.occurred_at < %(older_than)s AND o.untold = '{}' AND i.closed_at IS NOT NULL
  AND NOT EXISTS (SELECT FROM notifications n
                  WHERE n.incident_id = o.incident_id AND n.state = 'PENDING');
