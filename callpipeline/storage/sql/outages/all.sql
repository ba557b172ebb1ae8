-- The services that are away, and the calls that wait for one of them.
SELECT service, reason, since, again_at,
       (SELECT count(*) FROM calls WHERE away_since IS NOT NULL AND state = 'PENDING') AS calls
FROM outages ORDER BY service;
