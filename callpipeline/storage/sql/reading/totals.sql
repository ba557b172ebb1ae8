-- Calls that Filters let through, with what they add up to.
SELECT count(*) AS calls, count(*) FILTER (WHERE r.state = 'COMPLETED') AS completed,
       count(*) FILTER (WHERE r.state = 'FAILED') AS failed,
       coalesce(sum(r.duration_s), 0) / 3600 AS hours, min(r.day) AS first_day,
       max(r.day) AS last_day
FROM reading_calls r WHERE
    -- include reading/calls_wanted
;
