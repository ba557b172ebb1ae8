-- One asks again when it is due; for whoever comes after, it is due later.
UPDATE outages SET again_at = now() + %(again_s)s * interval '1 second', asked_at = NULL
WHERE service = %(service)s AND again_at <= now()
RETURNING service;
