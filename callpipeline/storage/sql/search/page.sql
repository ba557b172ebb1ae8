-- Where words were said in the calls that Filters let through, newest call first, and in each in the
-- order of speech; after a place, with the words marked. The planner reads the newest calls where
-- the words are common, and the index of words where they are rare.
WITH asked AS (
    SELECT websearch_to_tsquery('english', %(words)s) AS query
), hits AS MATERIALIZED (
    SELECT s.call_id, s.channel, s.segment_index, s.speaker, s.start_s, s.end_s, s.text,
           r.took_place_at, r.agent_name AS agent
    FROM reading_calls r JOIN segments s USING (call_id)
    WHERE to_tsvector('english', s.text) @@ websearch_to_tsquery('english', %(words)s)
      AND (%(said_by)s::text IS NULL OR s.speaker = %(said_by)s)
      AND (%(after_id)s::text IS NULL
           OR (r.took_place_at, r.call_id) <= (%(after_at)s::timestamptz, %(after_id)s))
      AND (%(after_id)s::text IS NULL OR r.call_id <> %(after_id)s
           OR (s.start_s, s.channel, s.segment_index)
              > (%(after_s)s::float, %(after_channel)s, %(after_index)s::integer)) AND
    -- include reading/calls_wanted
    ORDER BY r.took_place_at DESC, r.call_id DESC, s.start_s, s.channel, s.segment_index
    LIMIT %(limit)s
)
SELECT hits.*, ts_rank_cd(to_tsvector('english', text), query)::float AS rank,
       ts_headline('english', text, query,
                   'StartSel=⟦, StopSel=⟧, MaxWords=40, MinWords=20, HighlightAll=false')
           AS marked
FROM hits, asked ORDER BY took_place_at DESC, call_id DESC, start_s, channel, segment_index;
