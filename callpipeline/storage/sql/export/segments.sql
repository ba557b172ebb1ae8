-- What was said, call by call, in the order of the calls and of their time.
SELECT s.call_id, c.took_place_at, c.day, c.agent, s.channel, s.segment_index, s.speaker, s.start_s,
       s.end_s, s.text
FROM analytics.segments s JOIN analytics.calls c USING (call_id)
WHERE (%(since)s::timestamptz IS NULL OR c.took_place_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR c.took_place_at < %(until)s)
ORDER BY c.took_place_at, s.call_id, s.start_s, s.channel;
