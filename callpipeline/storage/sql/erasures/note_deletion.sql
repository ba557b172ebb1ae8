-- Record deletions: one row for each call.
INSERT INTO deletions (what, why, call_id, items, older_than)
SELECT %(what)s, %(why)s, d.call_id, d.items, %(older_than)s
FROM unnest(%(call_ids)s::text[], %(items)s::bigint[]) AS d (call_id, items)
RETURNING deletion_id;
