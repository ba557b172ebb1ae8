-- What was said, call by call, in the order of the calls and of their time.
SELECT s.call_id, c.took_place_at, c.day, c.agent, s.channel, s.segment_index, s.speaker, s.start_s,
       s.end_s, s.text
FROM segments s JOIN analytics.calls c USING (call_id)
WHERE (%(since)s::timestamptz IS NULL OR c.took_place_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR c.took_place_at < %(until)s)
  AND (%(said_by)s::text IS NULL OR s.speaker = %(said_by)s)
  AND (%(words)s::text IS NULL OR s.lexemes @@ websearch_to_tsquery('english', %(words)s))
  AND c.call_id IN (
    SELECT r.call_id FROM reading_calls r WHERE
    -- include reading/calls_wanted
  )
ORDER BY c.took_place_at, s.call_id, s.start_s, s.channel;
