-- Calls whose recording has this file name, or this key; newest first.
SELECT call_id FROM calls
WHERE regexp_replace(key, '^.*/', '') = regexp_replace(%(name)s, '^.*/', '')
  AND (key = %(name)s OR strpos(%(name)s, '/') = 0)
ORDER BY created_at DESC LIMIT 2;
