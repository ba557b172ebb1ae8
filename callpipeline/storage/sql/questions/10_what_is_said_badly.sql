-- What exactly do customers hold against Virgin Media, and where can it be heard?
SELECT s.call_id, s.start_s, s.score, s.quote, g.text AS segment
FROM analytics.sentiment s
JOIN analytics.mentions m USING (call_id, mention_id)
JOIN analytics.segments g ON g.call_id = m.call_id AND g.channel = m.channel
                         AND g.segment_index = m.segment_index
WHERE s.competitor = 'Virgin Media' AND s.sentiment = 'negative' AND s.speaker = 'customer'
ORDER BY s.took_place_at DESC, s.start_s LIMIT 50;
