-- What was said in a call, as one conversation.
SELECT segment_index, start_s, end_s, channel, speaker, text
FROM segments WHERE call_id = %(call_id)s ORDER BY start_s, channel, segment_index;
