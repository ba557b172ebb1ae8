-- Mentions by stretch of time and competitor, and by stretch and sentiment. Stretches are of
-- `days` days from `origin` on, or months.
SELECT CASE WHEN %(days)s = 0 THEN date_trunc('month', m.day::timestamp)::date
            ELSE %(origin)s::date + (m.day - %(origin)s::date) / %(days)s * %(days)s END AS since,
       m.competitor, m.stance, count(*) AS mentions, avg(m.score) AS mean_score
FROM reading_mentions m WHERE
    -- include reading/mentions_wanted
GROUP BY GROUPING SETS ((1, 2), (1, 3)) ORDER BY 1, mentions DESC, 2, 3;
