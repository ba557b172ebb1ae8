-- Of segments s those that somebody said, and of the call of a place those after it.
    (%(said_by)s::text IS NULL OR s.speaker = %(said_by)s)
    AND (%(after_id)s::text IS NULL OR s.call_id <> %(after_id)s
         OR (s.start_s, s.channel, s.segment_index)
            > (%(after_s)s::float, %(after_channel)s, %(after_index)s::integer))
