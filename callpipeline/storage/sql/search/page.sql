-- Where words were said in the calls that Filters let through, newest call first, and in each in the
-- order of speech; after a place, with the words marked.
WITH
    -- include search/found
, far AS MATERIALIZED (
    SELECT r.call_id, f.channel, f.segment_index, f.start_s, r.took_place_at, r.agent_name
    FROM found f JOIN reading_calls r USING (call_id)
    WHERE (%(after_id)s::text IS NULL
           OR (r.took_place_at, r.call_id) <= (%(after_at)s::timestamptz, %(after_id)s)) AND
    -- include reading/calls_wanted
    ORDER BY r.took_place_at DESC, r.call_id DESC, f.start_s, f.channel, f.segment_index
    LIMIT %(limit)s
), hits AS (
    SELECT * FROM near WHERE (SELECT is_enough FROM nearness) UNION ALL SELECT * FROM far
)
SELECT s.call_id, s.channel, s.segment_index, s.speaker, s.start_s, s.end_s, s.text,
       h.took_place_at, h.agent_name AS agent, ts_rank_cd(s.lexemes, asked)::float AS rank,
       ts_headline('english', s.text, asked,
                   'StartSel=⟦, StopSel=⟧, MaxWords=40, MinWords=20, HighlightAll=false')
           AS marked
FROM hits h JOIN segments s USING (call_id, channel, segment_index),
     websearch_to_tsquery('english', %(words)s) AS asked
ORDER BY h.took_place_at DESC, s.call_id DESC, s.start_s, s.channel, s.segment_index;
