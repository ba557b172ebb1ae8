CREATE VIEW analytics.own_brand_comparisons AS
SELECT m.call_id, m.mention_id, m.took_place_at, m.day, m.agent, m.competitor,
       o.competitor AS own_name, m.speaker, m.start_s, s.sentiment, s.score, s.switching,
       g.text AS said
FROM analytics.mentions m
JOIN callpipeline.segments g USING (call_id, channel, segment_index)
JOIN LATERAL (
    SELECT DISTINCT competitor FROM callpipeline.mentions o
    WHERE o.call_id = m.call_id AND o.channel = m.channel AND o.segment_index = m.segment_index
      AND coalesce(o.found_reason, o.reason) = 'your own company: never counted as a competitor'
) AS o ON true
LEFT JOIN callpipeline.sentiment s ON s.call_id = m.call_id AND s.mention_id = m.mention_id
WHERE m.status = 'counted';
COMMENT ON VIEW analytics.own_brand_comparisons IS
    'Mentions of competitors in the same utterance as your own company or brand (own in the list).';
COMMENT ON COLUMN analytics.own_brand_comparisons.call_id IS 'The call.';
COMMENT ON COLUMN analytics.own_brand_comparisons.mention_id IS
    'Id of the mention, unique within its call.';
COMMENT ON COLUMN analytics.own_brand_comparisons.took_place_at IS 'When the call took place.';
COMMENT ON COLUMN analytics.own_brand_comparisons.day IS 'Day of the call, UTC.';
COMMENT ON COLUMN analytics.own_brand_comparisons.agent IS 'Agent of the call; null if unknown.';
COMMENT ON COLUMN analytics.own_brand_comparisons.competitor IS
    'The competitor, by its name in the catalog.';
COMMENT ON COLUMN analytics.own_brand_comparisons.own_name IS
    'Your company or brand, by its name in the catalog.';
COMMENT ON COLUMN analytics.own_brand_comparisons.speaker IS
    'Speaker: agent, customer or unknown.';
COMMENT ON COLUMN analytics.own_brand_comparisons.start_s IS 'Seconds from the start of the call.';
COMMENT ON COLUMN analytics.own_brand_comparisons.sentiment IS
    'Sentiment towards the competitor; null until it is judged.';
COMMENT ON COLUMN analytics.own_brand_comparisons.score IS
    'Sentiment towards the competitor, -1 to 1; null until it is judged.';
COMMENT ON COLUMN analytics.own_brand_comparisons.switching IS
    'What the customer says about going to or leaving the competitor; null if nothing.';
COMMENT ON COLUMN analytics.own_brand_comparisons.said IS 'The utterance.';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'callpipeline_analyst') THEN
        GRANT SELECT ON analytics.own_brand_comparisons TO callpipeline_analyst;
    END IF;
END
$$;
