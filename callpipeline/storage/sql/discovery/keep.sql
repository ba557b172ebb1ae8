-- Remember where looking in a source stands.
INSERT INTO discovery (source, token, position)
VALUES (%(source)s, %(token)s, %(position)s)
ON CONFLICT (source) DO UPDATE SET
    token = excluded.token, position = excluded.position, updated_at = now()
RETURNING source;
