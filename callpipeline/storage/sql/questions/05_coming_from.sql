-- From which competitors do customers want to get away?
SELECT competitor, count(DISTINCT call_id) AS calls
FROM analytics.switching WHERE direction = 'from'
GROUP BY competitor ORDER BY calls DESC, competitor;
