-- Begin to look in a source under a new token.
INSERT INTO discovery (source, token, position) VALUES (%(source)s, %(token)s, '{}')
ON CONFLICT (source) DO UPDATE SET
    token = excluded.token, position = excluded.position, updated_at = now()
RETURNING source;
