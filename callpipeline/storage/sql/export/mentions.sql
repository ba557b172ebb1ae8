-- Mentions with their sentiment, in the order of the calls and of their time. Where mentions are
-- filtered only those that count; else all.
SELECT n.*, s.sentiment, s.score, s.quote, s.rule, s.engine, s.sentiment_status,
       s.not_judged_because
FROM analytics.mentions n LEFT JOIN analytics.sentiment s USING (call_id, mention_id)
WHERE (%(since)s::timestamptz IS NULL OR n.took_place_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR n.took_place_at < %(until)s)
  AND n.call_id IN (
    SELECT r.call_id FROM reading_calls r WHERE
    -- include reading/calls_wanted
  )
  AND (NOT %(of_mentions)s OR (n.call_id, n.mention_id) IN (
    SELECT m.call_id, m.mention_id FROM reading_mentions m WHERE
    -- include reading/mentions_wanted
  ))
ORDER BY n.took_place_at, n.call_id, n.start_s, n.mention_id;
