-- Forget addresses of calls that ended without their recording, and that nobody tried again.
UPDATE announced a SET url = NULL FROM calls c
WHERE c.call_id = a.call_id AND a.url IS NOT NULL
  AND c.state NOT IN ('PENDING', 'PROCESSING') AND c.completed_at < %(older_than)s
RETURNING a.call_id;
