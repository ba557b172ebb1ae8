-- How many calls wait in each lane, and the seconds since the oldest that may be tried was entered
-- or may be tried.
SELECT lane, count(*) AS calls,
       count(*) FILTER (WHERE not_before > now()) AS later,
       max(fruitless) AS fruitless,
       extract(epoch FROM now() - min(greatest(created_at, not_before))
               FILTER (WHERE not_before IS NULL OR not_before <= now()))::float AS oldest_s
FROM calls WHERE state = 'PENDING' GROUP BY lane ORDER BY lane;
