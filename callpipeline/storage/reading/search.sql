-- name: after_cursor
-- Conditions on segments s: the speaker, and the position after the cursor within its call.
    (%(segment_speaker)s::text IS NULL OR s.speaker = %(segment_speaker)s)
    AND (%(after_id)s::text IS NULL OR s.call_id <> %(after_id)s
         OR (s.start_s, s.channel, s.segment_index)
            > (%(after_s)s::float, %(after_channel)s, %(after_index)s::integer))

-- name: best_hits
-- List the best of the newest 5,000 segments with the words, best first, with the words marked.
-- The syntax is that of web searches: "a phrase", or, -without.
WITH asked AS (
    SELECT websearch_to_tsquery('english', %(words)s) AS query
), hits AS MATERIALIZED (
    SELECT s.call_id, s.channel, s.segment_index, s.speaker, s.start_s, s.end_s, s.text,
           s.lexemes, coalesce(c.started_at, c.last_modified) AS took_place_at,
           c.metadata ->> 'agent' AS agent
    FROM asked, callpipeline.segments s JOIN callpipeline.calls c USING (call_id)
    WHERE s.lexemes @@ asked.query
      AND c.state NOT IN ('DUPLICATE', 'ERASED')
      AND (%(speaker)s::text IS NULL OR s.speaker = %(speaker)s)
      AND (%(since)s::timestamptz IS NULL OR coalesce(c.started_at, c.last_modified) >= %(since)s)
      AND (%(until)s::timestamptz IS NULL OR coalesce(c.started_at, c.last_modified) < %(until)s)
      AND (%(competitor)s::text IS NULL AND %(sentiment)s::text IS NULL
           OR EXISTS (SELECT FROM callpipeline.mentions m
                      LEFT JOIN callpipeline.sentiment j USING (call_id, mention_id)
                      WHERE m.call_id = s.call_id AND m.status = 'counted'
                        AND (%(competitor)s::text IS NULL
                             OR lower(m.competitor) = lower(%(competitor)s))
                        AND (%(sentiment)s::text IS NULL OR j.sentiment = %(sentiment)s)))
    ORDER BY took_place_at DESC, s.call_id, s.start_s LIMIT 5000
), best AS (
    SELECT hits.*, ts_rank_cd(lexemes, query) AS rank, query
    FROM hits, asked ORDER BY rank DESC, took_place_at DESC, call_id, start_s LIMIT %(limit)s
)
SELECT call_id, channel, segment_index, speaker, start_s, end_s, text, took_place_at, agent,
       rank::float,
       ts_headline('english', text, query,
                   'StartSel=⟦, StopSel=⟧, MaxWords=40, MinWords=20, HighlightAll=false')
           AS marked
FROM best ORDER BY rank DESC, took_place_at DESC, call_id, start_s;

-- name: count_matches
-- Count the segments with the words in filtered calls, up to `limit`, and among the first
-- `looked_at` matches of the index; no more are read than needed.
WITH
    -- include search/matches
, counted AS (
    SELECT FROM found f CROSS JOIN LATERAL (
        SELECT FROM reading_calls r WHERE r.call_id = f.call_id AND
        -- include reading/call_conditions
        OFFSET 0
    ) AS r
    LIMIT %(limit)s
)
SELECT CASE WHEN is_enough THEN segments ELSE far END AS segments,
       NOT is_enough AND far < %(limit)s AND (SELECT count(*) FROM found) >= %(looked_at)s
           AS may_be_more
FROM nearness, (SELECT count(*) AS far FROM counted) AS counting;

-- name: has_only_stop_words
-- Check whether the query has no searchable word.
SELECT numnode(websearch_to_tsquery('english', %(words)s)) = 0 AS is_empty;

-- name: list_hits
-- List the segments with the words in filtered calls, newest call first and in order of time
-- within a call, after a cursor, with the words marked.
WITH
    -- include search/matches
, far AS MATERIALIZED (
    SELECT r.call_id, f.channel, f.segment_index, f.start_s, r.took_place_at, r.agent_name
    FROM found f JOIN reading_calls r USING (call_id)
    WHERE (%(after_id)s::text IS NULL
           OR (r.took_place_at, r.call_id) <= (%(after_at)s::timestamptz, %(after_id)s)) AND
    -- include reading/call_conditions
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

-- name: matches
-- Segments with the words in filtered calls after a cursor: up to `limit` of those in the newest
-- `near` calls, which are scanned; `nearness` says whether these are enough (all, or a full
-- page). If not, `found` has up to `looked_at` matches of the text index in any call. Left to
-- itself the planner reads tens of thousands of calls for a word spoken in a hundred.
near_calls AS MATERIALIZED (
    SELECT r.call_id, r.took_place_at, r.agent_name FROM reading_calls r
    WHERE (%(after_id)s::text IS NULL
           OR (r.took_place_at, r.call_id) <= (%(after_at)s::timestamptz, %(after_id)s)) AND
    -- include reading/call_conditions
    ORDER BY r.took_place_at DESC, r.call_id DESC LIMIT %(near)s
), near AS MATERIALIZED (
    SELECT r.call_id, s.channel, s.segment_index, s.start_s, r.took_place_at, r.agent_name
    FROM near_calls r CROSS JOIN LATERAL (
        SELECT * FROM segments s WHERE s.call_id = r.call_id OFFSET 0
    ) AS s
    WHERE s.lexemes @@ websearch_to_tsquery('english', %(words)s) AND
    -- include search/after_cursor
    ORDER BY r.took_place_at DESC, r.call_id DESC, s.start_s, s.channel, s.segment_index
    LIMIT %(limit)s
), nearness AS MATERIALIZED (
    SELECT count(*) AS segments,
           count(*) >= %(limit)s OR (SELECT count(*) FROM near_calls) < %(near)s AS is_enough
    FROM near
), found AS MATERIALIZED (
    SELECT s.call_id, s.channel, s.segment_index, s.start_s FROM segments s
    WHERE NOT (SELECT is_enough FROM nearness)
      AND s.lexemes @@ websearch_to_tsquery('english', %(words)s) AND
    -- include search/after_cursor
    LIMIT %(looked_at)s
)
