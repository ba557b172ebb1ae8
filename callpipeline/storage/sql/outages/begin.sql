-- A service is away, or still is: the calls that wait for it are not asked for before it is tried.
WITH noted AS (
    INSERT INTO outages AS o (service, reason, tries, again_at)
    VALUES (%(service)s, %(reason)s, %(tries)s, now() + %(again_s)s * interval '1 second')
    ON CONFLICT (service) DO UPDATE SET
        reason = excluded.reason, tries = greatest(o.tries, excluded.tries), asked_at = NULL,
        again_at = greatest(o.again_at, excluded.again_at)
    RETURNING service, again_at
), waiting AS (
    UPDATE calls SET not_before = noted.again_at FROM noted
    WHERE away_from = noted.service AND state = 'PENDING' AND batch_id IS NULL
      AND not_before < noted.again_at
), mentions AS (
    UPDATE unjudged u SET not_before = noted.again_at FROM noted
    WHERE u.away_from = noted.service AND u.not_before < noted.again_at
)
SELECT service FROM noted;
