-- The services that are away, and the calls that wait for each. One that nobody waits for and nobody
-- has tried, long after it was to be tried, is used no more: its address was changed, or is asked by
-- nobody just now.
SELECT * FROM (
    SELECT o.service, o.reason, o.since, o.again_at,
           (SELECT count(*) FROM calls c WHERE c.away_from = o.service AND c.state = 'PENDING')
           + (SELECT count(DISTINCT u.call_id) FROM unjudged u
              WHERE u.away_from = o.service AND u.not_before IS NOT NULL) AS calls
    FROM outages o) AS known
WHERE calls > 0 OR again_at > now() - %(forget_s)s * interval '1 second'
ORDER BY service;
