ALTER TABLE callpipeline.sentiment
    ADD COLUMN confidence double precision CHECK (confidence BETWEEN 0 AND 1),
    ADD COLUMN switching text
        CHECK (switching IN ('leaving_to', 'coming_from', 'considering', 'staying')),
    ADD COLUMN switching_quote text NOT NULL DEFAULT '';
COMMENT ON COLUMN callpipeline.sentiment.confidence IS
    'Calibrated probability that the sentiment is right; null if the engine has none.';
COMMENT ON COLUMN callpipeline.sentiment.switching IS
    'What the customer says about the competitor: leaving_to it, coming_from it, considering it or staying with it.';
COMMENT ON COLUMN callpipeline.sentiment.switching_quote IS 'The words that say so.';
ALTER TABLE callpipeline.replaced_judgements
    ADD COLUMN confidence double precision,
    ADD COLUMN switching text,
    ADD COLUMN switching_quote text NOT NULL DEFAULT '';

-- What the lexicon found before, until the mentions are judged again.
UPDATE callpipeline.sentiment
SET switching = CASE WHEN rule LIKE 'joining:%' THEN 'leaving_to' ELSE 'coming_from' END,
    switching_quote = quote
WHERE rule LIKE 'joining:%' AND score > 0 OR rule LIKE 'leaving:%' AND score < 0;

CREATE OR REPLACE VIEW analytics.sentiment AS
SELECT m.call_id, m.mention_id, m.took_place_at, m.day, m.agent, m.competitor, m.speaker, m.start_s,
       s.sentiment, s.score, s.quote, s.rule, s.engine,
       CASE WHEN s.mention_id IS NOT NULL THEN 'judged'
            WHEN u.next_attempt_at IS NOT NULL THEN 'waiting'
            ELSE 'failed' END AS sentiment_status,
       CASE WHEN s.mention_id IS NULL THEN u.reason END AS not_judged_because,
       s.confidence, s.switching, s.switching_quote
FROM analytics.mentions m
LEFT JOIN callpipeline.sentiment s USING (call_id, mention_id)
LEFT JOIN callpipeline.unjudged u USING (call_id, mention_id)
WHERE m.status = 'counted' AND (s.mention_id IS NOT NULL OR u.mention_id IS NOT NULL);
COMMENT ON COLUMN analytics.sentiment.confidence IS
    'Calibrated probability that the sentiment is right, 0 to 1; null if the engine has none.';
COMMENT ON COLUMN analytics.sentiment.switching IS
    'What the customer says: leaving_to the competitor, coming_from it, considering it, staying with it; null if nothing.';
COMMENT ON COLUMN analytics.sentiment.switching_quote IS 'The words about switching.';

CREATE OR REPLACE VIEW analytics.switching AS
SELECT s.call_id, s.mention_id, s.took_place_at, s.day, s.agent, s.competitor,
       CASE s.switching WHEN 'coming_from' THEN 'from' WHEN 'staying' THEN 'stay' ELSE 'to' END
           AS direction,
       s.speaker, s.start_s, s.switching_quote AS quote, s.rule, s.switching AS intent
FROM analytics.sentiment s
WHERE s.switching IS NOT NULL;
COMMENT ON VIEW analytics.switching IS
    'Customers who say that they leave, join, consider or stay with a competitor, whatever the sentiment engine.';
COMMENT ON COLUMN analytics.switching.direction IS
    'to: they go to it or consider it; from: they leave it; stay: they stay with it.';
COMMENT ON COLUMN analytics.switching.quote IS 'The words about switching.';
COMMENT ON COLUMN analytics.switching.rule IS 'What decided the sentiment of the mention.';
COMMENT ON COLUMN analytics.switching.intent IS
    'leaving_to the competitor, coming_from it, considering it, or staying with it.';
