-- Each competitor: how often it is named, in how many calls, and how it is spoken of.
SELECT m.competitor, count(DISTINCT m.call_id) AS calls,
    -- include reading/counts
FROM reading_mentions m WHERE
    -- include reading/mentions_wanted
GROUP BY m.competitor ORDER BY mentions DESC, m.competitor;
