-- A key by its public id, with the digest of its secret.
SELECT key_id, name, scopes, created_at, created_by, expires_at, last_used_at, revoked_at,
       revoked_by, secret_sha256
FROM api_keys WHERE key_id = %(key_id)s;
