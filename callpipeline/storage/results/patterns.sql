-- name: list
-- List the patterns of both kinds, in order.
SELECT kind, pattern FROM sentiment_patterns ORDER BY kind, position;

-- name: lock
-- Serialize changes of the patterns.
LOCK TABLE sentiment_patterns IN SHARE ROW EXCLUSIVE MODE;

-- name: delete
-- Delete the patterns of a kind, before its new list is stored.
DELETE FROM sentiment_patterns WHERE kind = %(kind)s;

-- name: add
-- Store the patterns of a kind, in order.
INSERT INTO sentiment_patterns (kind, position, pattern)
SELECT %(kind)s, given.position, given.pattern
FROM unnest(%(patterns)s::text[]) WITH ORDINALITY AS given (pattern, position);
