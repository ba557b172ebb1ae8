CREATE TABLE callpipeline.unjudged (
    call_id      text NOT NULL,
    mention_id   text NOT NULL,
    competitor   text NOT NULL,
    reason       text NOT NULL,
    error_class  text NOT NULL,
    transient    boolean NOT NULL,
    tries        integer NOT NULL DEFAULT 1,
    not_before   timestamptz,
    asked_by     text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (call_id, mention_id),
    FOREIGN KEY (call_id, mention_id) REFERENCES callpipeline.mentions ON DELETE CASCADE
);
CREATE INDEX unjudged_due ON callpipeline.unjudged (not_before) WHERE not_before IS NOT NULL;
COMMENT ON COLUMN callpipeline.unjudged.tries IS 'Tries so far; from the beginning when a person asks.';
COMMENT ON COLUMN callpipeline.unjudged.not_before IS
    'Not tried again before; null where it is not tried by itself any more.';
COMMENT ON COLUMN callpipeline.unjudged.asked_by IS
    'The run that took it last; null again when another run takes the whole call.';

CREATE OR REPLACE VIEW analytics.sentiment AS
SELECT m.call_id, m.mention_id, m.took_place_at, m.day, m.agent, m.competitor, m.speaker, m.start_s,
       s.sentiment, s.score, s.quote, s.rule, s.engine,
       CASE WHEN s.mention_id IS NOT NULL THEN 'judged'
            WHEN u.not_before IS NOT NULL THEN 'waiting'
            ELSE 'failed' END AS sentiment_status,
       CASE WHEN s.mention_id IS NULL THEN u.reason END AS not_judged_because
FROM analytics.mentions m
LEFT JOIN callpipeline.sentiment s USING (call_id, mention_id)
LEFT JOIN callpipeline.unjudged u USING (call_id, mention_id)
WHERE m.status = 'accepted' AND (s.mention_id IS NOT NULL OR u.mention_id IS NOT NULL);
COMMENT ON VIEW analytics.sentiment IS
    'How the speaker of each mention that counts speaks of the competitor; also where that could not be found out (see sentiment_status).';
COMMENT ON COLUMN analytics.sentiment.sentiment IS
    'positive, neutral, negative, or unsure where the evidence contradicts itself; null until it is judged.';
COMMENT ON COLUMN analytics.sentiment.score IS 'From -1 (negative) to 1 (positive); null until it is judged.';
COMMENT ON COLUMN analytics.sentiment.sentiment_status IS
    'judged; waiting, where judging failed and is tried again by itself; failed, where it is not.';
COMMENT ON COLUMN analytics.sentiment.not_judged_because IS 'Why it is not judged yet; null where it is.';

CREATE OR REPLACE VIEW analytics.sentiment_trend AS
WITH weekly AS (
    SELECT date_trunc('week', day::timestamp)::date AS week, competitor, count(*) AS judged,
           count(*) FILTER (WHERE sentiment = 'positive') AS positive,
           count(*) FILTER (WHERE sentiment = 'negative') AS negative,
           avg(score) AS mean_score
    FROM analytics.sentiment WHERE sentiment_status = 'judged' GROUP BY 1, 2
)
SELECT week, competitor, judged, positive, negative, mean_score,
       mean_score - lag(mean_score) OVER (PARTITION BY competitor ORDER BY week) AS change
FROM weekly;
