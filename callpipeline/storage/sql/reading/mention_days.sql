-- How many mentions of each sentiment there are on each day.
SELECT m.day, m.stance, count(*) AS mentions FROM reading_mentions m WHERE
    -- include reading/mentions_wanted
GROUP BY m.day, m.stance ORDER BY m.day, m.stance;
