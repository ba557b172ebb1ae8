-- The call that was made of these very bytes first; what was erased may come back.
SELECT call_id FROM contents JOIN calls USING (call_id)
WHERE contents.sha256 = %(sha256)s AND state NOT IN ('ERASED', 'FAILED');
