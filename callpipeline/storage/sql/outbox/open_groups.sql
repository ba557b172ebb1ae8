-- What was wrong and is not over, of one kind.
SELECT group_key FROM incidents WHERE kind = %(kind)s AND closed_at IS NULL AND cleared_at IS NULL;
