-- When the calls of each lane that wait for their next try may be tried: the first and the last.
SELECT lane, min(not_before) AS first_at, max(not_before) AS last_at
FROM calls WHERE state = 'PENDING' AND not_before > now() GROUP BY lane;
