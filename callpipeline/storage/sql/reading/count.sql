-- How many calls Filters let through.
SELECT count(*) AS calls FROM reading_calls r WHERE
    -- include reading/calls_wanted
;
