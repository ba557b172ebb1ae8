-- A key was used; written down once a minute, not with every request.
UPDATE api_keys SET last_used_at = now()
WHERE key_id = %(key_id)s
  AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
RETURNING key_id;
