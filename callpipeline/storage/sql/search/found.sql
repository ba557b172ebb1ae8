-- Segments with words, in calls that Filters let through, after a place: up to `limit` of those in the
-- newest `near` calls, which are read through, and `nearness`: whether these are enough, being all or
-- full. If not, `found` has those that the index of words finds, whatever their calls, up to `looked_at`.
-- The planner, left to itself, reads tens of thousands of calls for a word said in a hundred.
near_calls AS MATERIALIZED (
    SELECT r.call_id, r.took_place_at, r.agent_name FROM reading_calls r
    WHERE (%(after_id)s::text IS NULL
           OR (r.took_place_at, r.call_id) <= (%(after_at)s::timestamptz, %(after_id)s)) AND
    -- include reading/calls_wanted
    ORDER BY r.took_place_at DESC, r.call_id DESC LIMIT %(near)s
), near AS MATERIALIZED (
    SELECT r.call_id, s.channel, s.segment_index, s.start_s, r.took_place_at, r.agent_name
    FROM near_calls r CROSS JOIN LATERAL (
        SELECT * FROM segments s WHERE s.call_id = r.call_id OFFSET 0
    ) AS s
    WHERE s.lexemes @@ websearch_to_tsquery('english', %(words)s) AND
    -- include search/after
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
    -- include search/after
    LIMIT %(looked_at)s
)
