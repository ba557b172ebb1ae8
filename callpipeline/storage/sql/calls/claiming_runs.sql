-- The runs that hold calls, or should, and the seconds since each gave a sign of life.
SELECT run_id, extract(epoch FROM now() - max(alive_at))::float AS silent_s
FROM (
    SELECT run_id, alive_at FROM runs
    UNION ALL
    SELECT claimed_by, updated_at FROM calls c
    WHERE claimed_by IS NOT NULL AND NOT EXISTS (SELECT FROM runs r WHERE r.run_id = c.claimed_by)
) AS known
GROUP BY run_id;
