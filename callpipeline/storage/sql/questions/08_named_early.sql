-- In which calls is a competitor the reason to call: named by the customer in the first minute?
SELECT call_id, competitor, round(at_s::numeric, 1) AS at_s, said
FROM analytics.first_mention
WHERE brought_up_by = 'customer' AND at_s < 60 AND day BETWEEN '2026-03-01' AND '2026-03-31'
ORDER BY took_place_at, competitor;
