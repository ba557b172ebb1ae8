-- In how many segments words were said, of calls that Filters let through: to `limit` at most, and of
-- the first `looked_at` segments that have the words, of which no more are read than it takes to know.
WITH
    -- include search/found
, counted AS (
    SELECT FROM found f CROSS JOIN LATERAL (
        SELECT FROM reading_calls r WHERE r.call_id = f.call_id AND
        -- include reading/calls_wanted
        OFFSET 0
    ) AS r
    LIMIT %(limit)s
)
SELECT CASE WHEN is_enough THEN segments ELSE far END AS segments,
       NOT is_enough AND far < %(limit)s AND (SELECT count(*) FROM found) >= %(looked_at)s
           AS may_be_more
FROM nearness, (SELECT count(*) AS far FROM counted) AS counting;
