-- name: calls
-- Export calls in order of their time.
SELECT c.*, regexp_replace(k.key, '^.*/', '') AS file_name,
       %(base_url)s::text || '/calls/' || c.call_id AS link
FROM analytics.calls c JOIN calls k USING (call_id)
WHERE (%(since)s::timestamptz IS NULL OR c.took_place_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR c.took_place_at < %(until)s)
  AND c.call_id IN (
    SELECT r.call_id FROM reading_calls r WHERE
    -- include reading/call_conditions
  )
ORDER BY c.took_place_at, c.call_id;

-- name: mentions
-- Export mentions with their sentiment in order of time. With mention filters only counted
-- mentions are exported, otherwise all.
SELECT n.*, s.sentiment, s.score, s.quote, s.rule, s.engine, s.sentiment_status,
       s.not_judged_because, s.confidence AS sentiment_confidence, s.switching, s.switching_quote,
       regexp_replace(k.key, '^.*/', '') AS file_name,
       %(base_url)s::text || '/calls/' || n.call_id || '?t=' || round(n.start_s::numeric, 1) AS link
FROM analytics.mentions n JOIN calls k USING (call_id) LEFT JOIN analytics.sentiment s USING (call_id, mention_id)
WHERE (%(since)s::timestamptz IS NULL OR n.took_place_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR n.took_place_at < %(until)s)
  AND n.call_id IN (
    SELECT r.call_id FROM reading_calls r WHERE
    -- include reading/call_conditions
  )
  AND (NOT %(of_mentions)s OR (n.call_id, n.mention_id) IN (
    SELECT m.call_id, m.mention_id FROM reading_mentions m WHERE
    -- include reading/mention_conditions
  ))
ORDER BY n.took_place_at, n.call_id, n.start_s, n.mention_id;

-- name: segments
-- Export segments by call in order of time.
SELECT s.call_id, c.took_place_at, c.day, c.agent, s.channel, s.segment_index, s.speaker, s.start_s,
       s.end_s, s.text, s.voice, regexp_replace(k.key, '^.*/', '') AS file_name,
       %(base_url)s::text || '/calls/' || s.call_id || '?t=' || round(s.start_s::numeric, 1) AS link
FROM segments s JOIN analytics.calls c USING (call_id) JOIN calls k USING (call_id)
WHERE (%(since)s::timestamptz IS NULL OR c.took_place_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR c.took_place_at < %(until)s)
  AND (%(segment_speaker)s::text IS NULL OR s.speaker = %(segment_speaker)s)
  AND (%(words)s::text IS NULL OR s.lexemes @@ websearch_to_tsquery('english', %(words)s))
  AND c.call_id IN (
    SELECT r.call_id FROM reading_calls r WHERE
    -- include reading/call_conditions
  )
ORDER BY c.took_place_at, s.call_id, s.start_s, s.channel;
