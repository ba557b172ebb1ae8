-- The first and the last day of calls that Filters let through.
SELECT min(r.day) AS first_day, max(r.day) AS last_day FROM reading_calls r WHERE
    -- include reading/calls_wanted
;
