-- What was wrong is well again.
UPDATE incidents SET cleared_at = %(now)s
WHERE closed_at IS NULL AND cleared_at IS NULL AND group_key = ANY(%(group_keys)s)
RETURNING group_key;
