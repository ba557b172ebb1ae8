-- The call that was made of these very bytes first. What was erased stays that; what failed for a
-- reason that another copy may not share passes its bytes on.
SELECT call_id FROM contents JOIN calls USING (call_id)
WHERE contents.sha256 = %(sha256)s
  AND NOT (state = 'FAILED' AND (error_transient OR error_class = 'MissingObject'));
