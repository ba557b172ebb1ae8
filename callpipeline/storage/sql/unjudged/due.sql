-- Complete calls with mentions that are to be judged now: first those that a person asked for, then
-- those that were tried the fewest times. Of those that wait for a service which is away one goes
-- when it is to be tried, each time another one.
WITH due AS (
    SELECT u.call_id, min(u.tries) AS tries, min(u.not_before) AS since,
           max(u.updated_at) AS updated_at, max(o.service) AS away, max(o.again_at) AS again_at,
           bool_or(o.service IS NULL) AS is_free
    FROM unjudged u JOIN mentions m USING (call_id, mention_id) JOIN calls c USING (call_id)
    LEFT JOIN outages o ON o.service = u.away_from
    WHERE (u.not_before <= now() OR u.away_from IS NOT NULL AND o.service IS NULL
               AND u.not_before IS NOT NULL)
      AND m.status = 'accepted' AND c.state = 'COMPLETED'
      AND EXISTS (SELECT FROM stored_stages s
                  WHERE s.call_id = u.call_id AND s.stage = 'transcripts')
    GROUP BY u.call_id
)
SELECT call_id
FROM (SELECT *, row_number() OVER (PARTITION BY away ORDER BY updated_at, call_id) AS place
      FROM due) AS ordered
WHERE is_free OR again_at <= now() AND place = 1
ORDER BY tries, since, call_id LIMIT %(limit)s;
