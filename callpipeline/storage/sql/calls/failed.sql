-- Calls that failed, oldest first, by when they failed and by the class of their error.
SELECT call_id FROM calls
WHERE state = 'FAILED'
  AND (%(since)s::timestamptz IS NULL OR completed_at >= %(since)s)
  AND (%(error_class)s::text IS NULL OR error_class = %(error_class)s)
ORDER BY completed_at, call_id;
