-- Which customers say that they go to a competitor? (To call back today.)
SELECT call_id, competitor, start_s, quote
FROM analytics.switching
WHERE direction = 'to' AND day BETWEEN '2026-03-01' AND '2026-03-31'
ORDER BY took_place_at DESC, start_s;
