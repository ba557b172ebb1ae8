-- What is not told yet: events that nobody has looked at, and messages by channel with the age of
-- the oldest, in seconds, and how often it was tried.
SELECT NULL AS channel, count(*) AS waiting, 0 AS given_up, 0 AS tries,
       extract(epoch FROM now() - min(occurred_at))::float AS oldest_s
FROM outbox WHERE incident_id IS NULL AND channels IS DISTINCT FROM '{}'
UNION ALL
SELECT channel, count(*) FILTER (WHERE is_due),
       count(*) FILTER (WHERE state = 'GAVE_UP' AND created_at > now() - interval '7 days'),
       coalesce(max(attempts) FILTER (WHERE is_due), 0),
       extract(epoch FROM now() - min(created_at) FILTER (WHERE is_due))::float
FROM (SELECT *, state = 'PENDING' AND (not_before <= now() OR attempts > 0) AS is_due
      FROM notifications WHERE state IN ('PENDING', 'GAVE_UP')) AS n GROUP BY channel;
