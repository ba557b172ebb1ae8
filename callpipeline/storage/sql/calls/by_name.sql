-- Calls whose recording has this file name, newest first.
SELECT call_id FROM calls
WHERE key = %(name)s OR right(key, length(%(name)s) + 1) = '/' || %(name)s
ORDER BY created_at DESC LIMIT 2;
