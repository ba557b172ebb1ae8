-- What may have changed of calls that people look at, in one look: of these, and of the newest.
WITH newest AS (
    SELECT call_id FROM reading_calls WHERE state <> 'ERASED'
    ORDER BY created_at DESC, call_id DESC LIMIT %(newest)s
), wanted AS (
    SELECT unnest(%(call_ids)s::text[]) AS call_id UNION TABLE newest
)
SELECT c.call_id, c.call_id IN (TABLE newest) AS is_new,
       c.state IN ('PENDING', 'PROCESSING') AS is_open,
       concat_ws(' ', c.state, c.updated_at,
                 (SELECT count(*) || ' ' || max(s.stored_at) FROM call_stages s
                  WHERE s.call_id = c.call_id)) AS mark
FROM calls c JOIN wanted USING (call_id)
ORDER BY c.created_at DESC, c.call_id DESC;
