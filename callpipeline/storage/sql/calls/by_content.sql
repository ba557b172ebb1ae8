-- The first call that was made of these very bytes.
SELECT call_id FROM calls WHERE sha256 = %(sha256)s AND state <> 'ERASED'
ORDER BY created_at LIMIT 1;
