-- Whether something that is wrong was told already, and is not over.
SELECT 1 FROM outbox o LEFT JOIN incidents i USING (incident_id)
WHERE o.group_key = %(group_key)s AND o.kind = %(kind)s
  AND (o.incident_id IS NULL OR i.closed_at IS NULL AND i.cleared_at IS NULL)
LIMIT 1;
