-- A person wants duplicates to be tried whose first call failed: one for each set of bytes, to
-- which the bytes and the other duplicates pass.
WITH heir AS (
    SELECT DISTINCT ON (c.sha256) c.call_id, c.sha256, c.duplicate_of AS first
    FROM calls c JOIN calls f ON f.call_id = c.duplicate_of
    WHERE c.state = 'DUPLICATE' AND c.call_id = ANY(%(call_ids)s)
      AND f.state = 'FAILED'
    ORDER BY c.sha256, c.created_at, c.call_id
), others AS (
    UPDATE calls SET duplicate_of = heir.call_id FROM heir
    WHERE calls.duplicate_of = heir.first AND calls.call_id <> heir.call_id
), passed AS (
    UPDATE contents SET call_id = heir.call_id FROM heir
    WHERE contents.sha256 = heir.sha256 AND contents.call_id = heir.first
)
UPDATE calls SET
    state = 'PENDING', duplicate_of = NULL, priority = %(priority)s, lane = %(lane)s,
    not_before = now(), completed_at = NULL, updated_at = now()
FROM heir WHERE calls.call_id = heir.call_id AND calls.state = 'DUPLICATE'
RETURNING calls.call_id;
