-- Mentions with their sentiment, in the order of the calls and of their time.
SELECT m.*, s.sentiment, s.score, s.quote, s.rule, s.engine, s.sentiment_status,
       s.not_judged_because
FROM analytics.mentions m LEFT JOIN analytics.sentiment s USING (call_id, mention_id)
WHERE (%(since)s::timestamptz IS NULL OR m.took_place_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR m.took_place_at < %(until)s)
ORDER BY m.took_place_at, m.call_id, m.start_s, m.mention_id;
