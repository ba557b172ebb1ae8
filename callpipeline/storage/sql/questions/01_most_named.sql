-- Which competitors are named most, and in what share of our calls?
SELECT m.competitor, count(*) AS mentions, count(DISTINCT m.call_id) AS calls,
       round(100.0 * count(DISTINCT m.call_id)
             / (SELECT count(*) FROM analytics.calls
                WHERE state = 'COMPLETED' AND day BETWEEN '2026-03-01' AND '2026-03-31'), 1)
           AS percent_of_calls
FROM analytics.mentions m
WHERE m.status = 'accepted' AND m.day BETWEEN '2026-03-01' AND '2026-03-31'
GROUP BY m.competitor ORDER BY mentions DESC, m.competitor;
