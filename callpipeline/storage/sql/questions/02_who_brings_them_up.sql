-- Who brings competitors up: our agents, or customers? And when in the call?
SELECT competitor, brought_up_by, count(*) AS calls,
       round(percentile_cont(0.5) WITHIN GROUP (ORDER BY at_s)::numeric, 1) AS median_at_s
FROM analytics.first_mention
WHERE day BETWEEN '2026-03-01' AND '2026-03-31'
GROUP BY competitor, brought_up_by ORDER BY competitor, brought_up_by;
