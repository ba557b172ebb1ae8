-- Whether something that is wrong was told already, and is not over.
SELECT 1 FROM incidents
WHERE group_key = %(group_key)s AND closed_at IS NULL AND cleared_at IS NULL
UNION ALL
SELECT 1 FROM outbox WHERE group_key = %(group_key)s AND incident_id IS NULL
LIMIT 1;
