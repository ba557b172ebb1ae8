CREATE OR REPLACE VIEW analytics.competitor_daily AS
SELECT m.day, m.competitor, count(DISTINCT m.call_id) AS calls, count(*) AS mentions,
       count(*) FILTER (WHERE m.speaker = 'customer') AS by_customer,
       count(*) FILTER (WHERE m.speaker = 'agent') AS by_agent,
       count(*) FILTER (WHERE s.sentiment = 'positive') AS positive,
       count(*) FILTER (WHERE s.sentiment = 'neutral') AS neutral,
       count(*) FILTER (WHERE s.sentiment = 'negative') AS negative,
       count(*) FILTER (WHERE s.sentiment = 'mixed') AS mixed,
       avg(s.score) AS mean_score,
       avg(s.score) FILTER (WHERE m.speaker <> 'agent') AS customer_score,
       avg(s.score) FILTER (WHERE m.speaker = 'agent') AS agent_score
FROM analytics.mentions m LEFT JOIN callpipeline.sentiment s USING (call_id, mention_id)
WHERE m.status = 'counted'
GROUP BY m.day, m.competitor;
COMMENT ON COLUMN analytics.competitor_daily.customer_score IS
    'Mean score of the mentions by customers, or by unknown speakers, -1 to 1.';
COMMENT ON COLUMN analytics.competitor_daily.agent_score IS
    'Mean score of the mentions by agents, -1 to 1.';

CREATE OR REPLACE VIEW analytics.agent_competitor AS
SELECT m.agent, m.competitor, count(DISTINCT m.call_id) AS calls, count(*) AS mentions,
       count(*) FILTER (WHERE m.speaker = 'agent') AS by_agent,
       count(*) FILTER (WHERE m.speaker = 'customer') AS by_customer,
       count(*) FILTER (WHERE s.sentiment = 'positive') AS positive,
       count(*) FILTER (WHERE s.sentiment = 'negative') AS negative,
       avg(s.score) AS mean_score,
       avg(s.score) FILTER (WHERE m.speaker <> 'agent') AS customer_score,
       avg(s.score) FILTER (WHERE m.speaker = 'agent') AS agent_score
FROM analytics.mentions m LEFT JOIN callpipeline.sentiment s USING (call_id, mention_id)
WHERE m.status = 'counted' AND m.agent IS NOT NULL
GROUP BY m.agent, m.competitor;
COMMENT ON COLUMN analytics.agent_competitor.customer_score IS
    'Mean score of the mentions by customers, or by unknown speakers, -1 to 1.';
COMMENT ON COLUMN analytics.agent_competitor.agent_score IS
    'Mean score of the mentions by the agent, -1 to 1.';

CREATE OR REPLACE VIEW analytics.sentiment_trend AS
WITH weekly AS (
    SELECT date_trunc('week', day::timestamp)::date AS week, competitor, count(*) AS judged,
           count(*) FILTER (WHERE sentiment = 'positive') AS positive,
           count(*) FILTER (WHERE sentiment = 'negative') AS negative,
           avg(score) AS mean_score,
           avg(score) FILTER (WHERE speaker <> 'agent') AS customer_score,
           avg(score) FILTER (WHERE speaker = 'agent') AS agent_score
    FROM analytics.sentiment WHERE sentiment_status = 'judged' GROUP BY 1, 2
)
SELECT week, competitor, judged, positive, negative, mean_score,
       mean_score - lag(mean_score) OVER (PARTITION BY competitor ORDER BY week) AS change,
       customer_score, agent_score,
       customer_score - lag(customer_score) OVER (
           PARTITION BY competitor, customer_score IS NULL ORDER BY week) AS customer_change
FROM weekly;
COMMENT ON COLUMN analytics.sentiment_trend.customer_score IS
    'Mean score of the mentions by customers, or by unknown speakers, -1 to 1.';
COMMENT ON COLUMN analytics.sentiment_trend.agent_score IS
    'Mean score of the mentions by agents, -1 to 1.';
COMMENT ON COLUMN analytics.sentiment_trend.customer_change IS
    'Change of the customers'' score since the previous week that has one.';

ALTER TABLE callpipeline.daily_competitors
    ADD COLUMN customer_score double precision, ADD COLUMN agent_score double precision;
COMMENT ON COLUMN callpipeline.daily_competitors.customer_score IS
    'Mean score of the mentions by customers, or by unknown speakers, -1 to 1.';
COMMENT ON COLUMN callpipeline.daily_competitors.agent_score IS
    'Mean score of the mentions by agents, -1 to 1.';
ALTER TABLE callpipeline.daily_agents
    ADD COLUMN customer_score double precision, ADD COLUMN agent_score double precision;
COMMENT ON COLUMN callpipeline.daily_agents.customer_score IS
    'Mean score of the mentions by customers, or by unknown speakers, -1 to 1.';
COMMENT ON COLUMN callpipeline.daily_agents.agent_score IS
    'Mean score of the mentions by the agent, -1 to 1.';

CREATE OR REPLACE VIEW analytics.daily_competitors AS
SELECT day, competitor, calls, mentions, by_customer, by_agent, positive, neutral, negative,
       mixed, mean_score, share_of_mentions, share_of_calls, customer_score, agent_score
FROM callpipeline.daily_competitors;
COMMENT ON COLUMN analytics.daily_competitors.customer_score IS
    'Mean score of the mentions by customers, or by unknown speakers, -1 to 1.';
COMMENT ON COLUMN analytics.daily_competitors.agent_score IS
    'Mean score of the mentions by agents, -1 to 1.';
CREATE OR REPLACE VIEW analytics.daily_agents AS
SELECT day, agent, competitor, calls, mentions, by_agent, by_customer, positive, negative,
       mean_score, customer_score, agent_score
FROM callpipeline.daily_agents;
COMMENT ON COLUMN analytics.daily_agents.customer_score IS
    'Mean score of the mentions by customers, or by unknown speakers, -1 to 1.';
COMMENT ON COLUMN analytics.daily_agents.agent_score IS
    'Mean score of the mentions by the agent, -1 to 1.';
