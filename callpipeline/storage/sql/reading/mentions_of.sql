-- The mentions of a call in the order of speech, with what was said and how each is judged.
SELECT m.mention_id, m.competitor, m.alias, m.said, m.channel, m.speaker, m.segment_index,
       m.char_start, m.char_end, m.start_s, m.end_s, m.confidence, m.status, m.reason,
       s.sentiment, s.score, s.rule, s.quote, s.engine,
       u.reason AS not_judged_because, u.not_before AS judged_again_at,
       g.text AS segment_text, g.start_s AS segment_start_s, g.end_s AS segment_end_s
FROM mentions m
LEFT JOIN sentiment s USING (call_id, mention_id)
LEFT JOIN unjudged u USING (call_id, mention_id)
LEFT JOIN segments g USING (call_id, channel, segment_index)
WHERE m.call_id = %(call_id)s ORDER BY m.start_s, m.mention_id;
