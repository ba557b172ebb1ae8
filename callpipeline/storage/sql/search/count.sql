-- In how many segments words were said, of calls that Filters let through: up to `most`, and of the
-- first `looked_at` segments that have the words.
WITH found AS MATERIALIZED (
    SELECT s.call_id, s.speaker FROM segments s
    WHERE to_tsvector('english', s.text) @@ websearch_to_tsquery('english', %(words)s)
      AND (%(said_by)s::text IS NULL OR s.speaker = %(said_by)s)
    LIMIT %(looked_at)s
), counted AS (
    SELECT FROM found f JOIN reading_calls r USING (call_id) WHERE
    -- include reading/calls_wanted
    LIMIT %(most)s + 1
)
SELECT (SELECT count(*) FROM counted) AS segments,
       (SELECT count(*) FROM found) >= %(looked_at)s AS may_be_more;
