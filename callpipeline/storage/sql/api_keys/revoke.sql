-- A key opens nothing any more; one that was revoked before keeps its time.
UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()),
                    revoked_by = coalesce(revoked_by, %(by)s)
WHERE key_id = %(key_id)s
RETURNING key_id;
