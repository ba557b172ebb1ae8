-- How many mentions of complete calls wait for a person, by competitor, most first.
SELECT m.competitor, count(*) AS mentions
FROM mentions m JOIN calls c USING (call_id)
WHERE m.status = 'unsure' AND c.state = 'COMPLETED'
GROUP BY m.competitor ORDER BY mentions DESC, m.competitor;
