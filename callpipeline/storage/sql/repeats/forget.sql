-- A request that failed may be sent again with the same key.
DELETE FROM idempotent_requests
WHERE key_hash = %(key_hash)s AND holder = %(holder)s AND answer IS NULL
RETURNING key_hash;
