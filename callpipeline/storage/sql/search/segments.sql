-- Where words were said: the newest 5,000 segments that match, the best of them first, each with
-- the words marked. The words are a web search: "a phrase", or, -without.
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
                      WHERE m.call_id = s.call_id AND m.status = 'accepted'
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
