-- Remember where looking in a source stands, unless that was to be forgotten meanwhile.
UPDATE discovery SET position = %(position)s, updated_at = now()
WHERE source = %(source)s AND token = %(token)s
RETURNING source;
