-- A new key. Twice is like once.
INSERT INTO api_keys (key_id, name, secret_sha256, scopes, created_by, expires_at)
VALUES (%(key_id)s, %(name)s, %(digest)s, %(scopes)s, %(created_by)s, %(expires_at)s)
ON CONFLICT (key_id) DO NOTHING
RETURNING key_id;
