-- Each agent: in how many of the calls competitors are named, how often, and how they are spoken of.
SELECT m.agent, count(DISTINCT m.call_id) AS calls_with_mention,
    -- include reading/counts
FROM reading_mentions m WHERE
    -- include reading/mentions_wanted
GROUP BY m.agent;
