-- The newest mentions that Filters let through, with the segment in which each was said.
WITH newest AS (
    SELECT m.call_id, m.mention_id, m.competitor, m.stance, m.score, r.took_place_at
    FROM reading_mentions m JOIN reading_calls r USING (call_id)
    WHERE (%(after_id)s::text IS NULL OR (r.took_place_at, m.call_id, m.mention_id)
           < (%(after_at)s::timestamptz, %(after_id)s, %(after_mention)s)) AND
    -- include reading/days_wanted
      AND
    -- include reading/mentions_wanted
    ORDER BY r.took_place_at DESC, m.call_id DESC, m.mention_id DESC LIMIT %(limit)s
)
SELECT w.call_id, w.mention_id, w.competitor, w.stance, w.score, w.took_place_at, n.said, n.channel,
       n.speaker, n.segment_index, n.char_start, n.char_end, n.start_s, n.end_s, s.rule, s.quote,
       s.engine, g.text AS segment_text, g.start_s AS segment_start_s, g.end_s AS segment_end_s,
       c.key, c.metadata ->> 'agent' AS agent
FROM newest w JOIN mentions n USING (call_id, mention_id) JOIN calls c USING (call_id)
LEFT JOIN sentiment s USING (call_id, mention_id)
LEFT JOIN segments g USING (call_id, channel, segment_index)
ORDER BY w.took_place_at DESC, w.call_id DESC, w.mention_id DESC;
