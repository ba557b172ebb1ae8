-- Transcripts with words that were made since a time, those that the recogniser was unsure of, the
-- newest of these, and the mean confidence of all that have one.
WITH made AS (
    SELECT s.call_id, s.stored_at, t.channel, t.engine, t.confidence, t.reliable
    FROM call_stages s JOIN transcripts t USING (call_id)
    WHERE s.stage = 'transcripts' AND s.stored_at >= %(since)s AND t.word_count > 0
)
SELECT count(*) AS looked, count(*) FILTER (WHERE NOT reliable) AS found,
       avg(confidence) AS confidence,
       (SELECT coalesce(jsonb_agg(n ORDER BY n.stored_at DESC, n.call_id, n.channel), '[]')
        FROM (SELECT * FROM made WHERE NOT reliable
              ORDER BY stored_at DESC, call_id, channel LIMIT %(most)s) AS n) AS newest
FROM made;
