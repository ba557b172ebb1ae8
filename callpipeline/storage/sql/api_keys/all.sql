-- Every key there was, the newest first.
SELECT key_id, name, scopes, created_at, created_by, expires_at, last_used_at, revoked_at,
       revoked_by
FROM api_keys ORDER BY created_at DESC, key_id;
