-- The call that was made of these very bytes first. What was erased may come back, and what failed
-- for a reason that another copy may not share.
SELECT call_id FROM contents JOIN calls USING (call_id)
WHERE contents.sha256 = %(sha256)s AND state <> 'ERASED'
  AND NOT (state = 'FAILED' AND (error_transient OR error_class = 'MissingObject'));
