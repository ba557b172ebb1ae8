-- How many calls are in each state.
SELECT state, count(*) AS calls FROM calls GROUP BY state ORDER BY state;
