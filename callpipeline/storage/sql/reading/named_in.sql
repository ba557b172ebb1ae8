-- The competitors that are named in calls: how often, with which sentiment, in the order of speech.
SELECT m.call_id, m.competitor, m.stance, count(*) AS mentions, min(n.start_s) AS first_s
FROM reading_mentions m JOIN mentions n USING (call_id, mention_id)
WHERE m.call_id = ANY(%(call_ids)s)
GROUP BY m.call_id, m.competitor, m.stance ORDER BY m.call_id, first_s, m.competitor;
