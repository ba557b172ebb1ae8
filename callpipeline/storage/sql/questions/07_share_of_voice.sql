-- How does each competitor's share of voice move from week to week?
WITH weekly AS (
    SELECT date_trunc('week', day::timestamp)::date AS week, competitor, sum(mentions) AS mentions
    FROM analytics.share_of_voice GROUP BY 1, 2
)
SELECT week, competitor, mentions::int,
       round(100 * mentions / sum(mentions) OVER (PARTITION BY week), 1) AS percent
FROM weekly ORDER BY week, percent DESC, competitor;
