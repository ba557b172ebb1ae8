-- A service is away, or still is.
INSERT INTO outages AS o (service, reason, tries, again_at)
VALUES (%(service)s, %(reason)s, %(tries)s, now() + %(again_s)s * interval '1 second')
ON CONFLICT (service) DO UPDATE SET
    reason = excluded.reason, tries = greatest(o.tries, excluded.tries),
    again_at = greatest(o.again_at, excluded.again_at)
RETURNING service;
