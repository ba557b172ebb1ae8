-- The calls of a day: exactly the expression of `day` in the views, or it would not be used.
CREATE INDEX calls_by_day
    ON callpipeline.calls (((coalesce(started_at, last_modified) AT TIME ZONE 'UTC')::date));

CREATE TABLE callpipeline.daily_calls (
    day                         date PRIMARY KEY,
    calls                       integer NOT NULL,
    completed                   integer NOT NULL,
    failed                      integer NOT NULL,
    mentions                    integer NOT NULL,
    audio_h                     double precision NOT NULL,
    agent_talk_h                double precision NOT NULL,
    customer_talk_h             double precision NOT NULL,
    silence_h                   double precision NOT NULL,
    channel_audio_p50_s         double precision,
    channel_audio_p95_s         double precision,
    transcripts_p50_s           double precision,
    transcripts_p95_s           double precision,
    competitor_sentiment_p50_s  double precision,
    competitor_sentiment_p95_s  double precision,
    made_at                     timestamptz NOT NULL
);
COMMENT ON TABLE callpipeline.daily_calls IS 'One row a day, also where no call took place.';
COMMENT ON COLUMN callpipeline.daily_calls.day IS 'The day of the calls, by UTC.';
COMMENT ON COLUMN callpipeline.daily_calls.calls IS
    'Calls of that day, without duplicates and erased ones.';
COMMENT ON COLUMN callpipeline.daily_calls.completed IS 'Of these completed.';
COMMENT ON COLUMN callpipeline.daily_calls.failed IS 'Of these failed.';
COMMENT ON COLUMN callpipeline.daily_calls.mentions IS 'How often competitors were named.';
COMMENT ON COLUMN callpipeline.daily_calls.audio_h IS 'Hours of recordings.';
COMMENT ON COLUMN callpipeline.daily_calls.agent_talk_h IS 'Hours in which agents speak.';
COMMENT ON COLUMN callpipeline.daily_calls.customer_talk_h IS 'Hours in which customers speak.';
COMMENT ON COLUMN callpipeline.daily_calls.silence_h IS 'Hours in which nobody speaks.';
COMMENT ON COLUMN callpipeline.daily_calls.channel_audio_p50_s IS
    'Seconds of work that a recording took to be taken apart; the median.';
COMMENT ON COLUMN callpipeline.daily_calls.channel_audio_p95_s IS
    'The same; 95 of 100 took no longer.';
COMMENT ON COLUMN callpipeline.daily_calls.transcripts_p50_s IS
    'Seconds of work that a call took to be transcribed; the median.';
COMMENT ON COLUMN callpipeline.daily_calls.transcripts_p95_s IS
    'The same; 95 of 100 took no longer.';
COMMENT ON COLUMN callpipeline.daily_calls.competitor_sentiment_p50_s IS
    'Seconds of work that the mentions of a call took to be judged; the median.';
COMMENT ON COLUMN callpipeline.daily_calls.competitor_sentiment_p95_s IS
    'The same; 95 of 100 took no longer.';
COMMENT ON COLUMN callpipeline.daily_calls.made_at IS
    'When the calls were read of which the day was counted.';

CREATE TABLE callpipeline.daily_competitors (
    day                date NOT NULL,
    competitor         text NOT NULL,
    calls              integer NOT NULL,
    mentions           integer NOT NULL,
    by_customer        integer NOT NULL,
    by_agent           integer NOT NULL,
    positive           integer NOT NULL,
    neutral            integer NOT NULL,
    negative           integer NOT NULL,
    unsure             integer NOT NULL,
    mean_score         double precision,
    share_of_mentions  double precision NOT NULL,
    share_of_calls     double precision,
    PRIMARY KEY (day, competitor)
);
COMMENT ON TABLE callpipeline.daily_competitors IS
    'Each competitor on each day on which it was named.';
COMMENT ON COLUMN callpipeline.daily_competitors.day IS 'The day of the calls, by UTC.';
COMMENT ON COLUMN callpipeline.daily_competitors.competitor IS 'The competitor.';
COMMENT ON COLUMN callpipeline.daily_competitors.calls IS 'Calls in which it was named.';
COMMENT ON COLUMN callpipeline.daily_competitors.mentions IS 'How often it was named.';
COMMENT ON COLUMN callpipeline.daily_competitors.by_customer IS 'Of these by customers.';
COMMENT ON COLUMN callpipeline.daily_competitors.by_agent IS 'Of these by agents.';
COMMENT ON COLUMN callpipeline.daily_competitors.positive IS 'Mentions that speak well of it.';
COMMENT ON COLUMN callpipeline.daily_competitors.neutral IS 'Mentions that only name it.';
COMMENT ON COLUMN callpipeline.daily_competitors.negative IS 'Mentions that speak badly of it.';
COMMENT ON COLUMN callpipeline.daily_competitors.unsure IS
    'Mentions whose evidence contradicts itself.';
COMMENT ON COLUMN callpipeline.daily_competitors.mean_score IS
    'Mean score of the judged mentions, -1 to 1.';
COMMENT ON COLUMN callpipeline.daily_competitors.share_of_mentions IS
    'Of all mentions of competitors on that day, 0 to 1.';
COMMENT ON COLUMN callpipeline.daily_competitors.share_of_calls IS
    'Of all completed calls of that day, 0 to 1.';

CREATE TABLE callpipeline.daily_agents (
    day          date NOT NULL,
    agent        text NOT NULL,
    competitor   text NOT NULL,
    calls        integer NOT NULL,
    mentions     integer NOT NULL,
    by_agent     integer NOT NULL,
    by_customer  integer NOT NULL,
    positive     integer NOT NULL,
    negative     integer NOT NULL,
    mean_score   double precision,
    PRIMARY KEY (day, agent, competitor)
);
COMMENT ON TABLE callpipeline.daily_agents IS 'Which competitors come up in whose calls, by day.';
COMMENT ON COLUMN callpipeline.daily_agents.day IS 'The day of the calls, by UTC.';
COMMENT ON COLUMN callpipeline.daily_agents.agent IS 'The agent, as the recordings'' names tell.';
COMMENT ON COLUMN callpipeline.daily_agents.competitor IS 'The competitor.';
COMMENT ON COLUMN callpipeline.daily_agents.calls IS 'Calls of the agent in which it was named.';
COMMENT ON COLUMN callpipeline.daily_agents.mentions IS 'How often it was named in them.';
COMMENT ON COLUMN callpipeline.daily_agents.by_agent IS 'Of these by the agent.';
COMMENT ON COLUMN callpipeline.daily_agents.by_customer IS 'Of these by the customers.';
COMMENT ON COLUMN callpipeline.daily_agents.positive IS 'Mentions that speak well of it.';
COMMENT ON COLUMN callpipeline.daily_agents.negative IS 'Mentions that speak badly of it.';
COMMENT ON COLUMN callpipeline.daily_agents.mean_score IS 'Mean score, -1 to 1.';

CREATE VIEW analytics.daily_calls AS
SELECT day, calls, completed, failed, mentions, audio_h, agent_talk_h, customer_talk_h,
       silence_h, channel_audio_p50_s, channel_audio_p95_s, transcripts_p50_s,
       transcripts_p95_s, competitor_sentiment_p50_s, competitor_sentiment_p95_s, made_at
FROM callpipeline.daily_calls;
COMMENT ON VIEW analytics.daily_calls IS
    'One row a day, also where no call took place. Made by Dagster from the calls of the day, and made again when one of them changes. It stays as it is when the calls themselves are deleted by retention.';
COMMENT ON COLUMN analytics.daily_calls.day IS 'The day of the calls, by UTC.';
COMMENT ON COLUMN analytics.daily_calls.calls IS
    'Calls of that day, without duplicates and erased ones.';
COMMENT ON COLUMN analytics.daily_calls.completed IS 'Of these completed.';
COMMENT ON COLUMN analytics.daily_calls.failed IS 'Of these failed.';
COMMENT ON COLUMN analytics.daily_calls.mentions IS 'How often competitors were named.';
COMMENT ON COLUMN analytics.daily_calls.audio_h IS 'Hours of recordings.';
COMMENT ON COLUMN analytics.daily_calls.agent_talk_h IS 'Hours in which agents speak.';
COMMENT ON COLUMN analytics.daily_calls.customer_talk_h IS 'Hours in which customers speak.';
COMMENT ON COLUMN analytics.daily_calls.silence_h IS 'Hours in which nobody speaks.';
COMMENT ON COLUMN analytics.daily_calls.channel_audio_p50_s IS
    'Seconds of work that a recording took to be taken apart; the median.';
COMMENT ON COLUMN analytics.daily_calls.channel_audio_p95_s IS
    'The same; 95 of 100 took no longer.';
COMMENT ON COLUMN analytics.daily_calls.transcripts_p50_s IS
    'Seconds of work that a call took to be transcribed; the median.';
COMMENT ON COLUMN analytics.daily_calls.transcripts_p95_s IS 'The same; 95 of 100 took no longer.';
COMMENT ON COLUMN analytics.daily_calls.competitor_sentiment_p50_s IS
    'Seconds of work that the mentions of a call took to be judged; the median.';
COMMENT ON COLUMN analytics.daily_calls.competitor_sentiment_p95_s IS
    'The same; 95 of 100 took no longer.';
COMMENT ON COLUMN analytics.daily_calls.made_at IS
    'When the calls were read of which the day was counted.';

CREATE VIEW analytics.daily_competitors AS
SELECT day, competitor, calls, mentions, by_customer, by_agent, positive, neutral, negative,
       unsure, mean_score, share_of_mentions, share_of_calls
FROM callpipeline.daily_competitors;
COMMENT ON VIEW analytics.daily_competitors IS
    'Each competitor on each day on which it was named. Made by Dagster from the calls of the day, and made again when one of them changes. It stays as it is when the calls themselves are deleted by retention.';
COMMENT ON COLUMN analytics.daily_competitors.day IS 'The day of the calls, by UTC.';
COMMENT ON COLUMN analytics.daily_competitors.competitor IS 'The competitor.';
COMMENT ON COLUMN analytics.daily_competitors.calls IS 'Calls in which it was named.';
COMMENT ON COLUMN analytics.daily_competitors.mentions IS 'How often it was named.';
COMMENT ON COLUMN analytics.daily_competitors.by_customer IS 'Of these by customers.';
COMMENT ON COLUMN analytics.daily_competitors.by_agent IS 'Of these by agents.';
COMMENT ON COLUMN analytics.daily_competitors.positive IS 'Mentions that speak well of it.';
COMMENT ON COLUMN analytics.daily_competitors.neutral IS 'Mentions that only name it.';
COMMENT ON COLUMN analytics.daily_competitors.negative IS 'Mentions that speak badly of it.';
COMMENT ON COLUMN analytics.daily_competitors.unsure IS
    'Mentions whose evidence contradicts itself.';
COMMENT ON COLUMN analytics.daily_competitors.mean_score IS
    'Mean score of the judged mentions, -1 to 1.';
COMMENT ON COLUMN analytics.daily_competitors.share_of_mentions IS
    'Of all mentions of competitors on that day, 0 to 1.';
COMMENT ON COLUMN analytics.daily_competitors.share_of_calls IS
    'Of all completed calls of that day, 0 to 1.';

CREATE VIEW analytics.daily_agents AS
SELECT day, agent, competitor, calls, mentions, by_agent, by_customer, positive, negative,
       mean_score
FROM callpipeline.daily_agents;
COMMENT ON VIEW analytics.daily_agents IS
    'Which competitors come up in whose calls, by day. Made by Dagster from the calls of the day, and made again when one of them changes. It stays as it is when the calls themselves are deleted by retention.';
COMMENT ON COLUMN analytics.daily_agents.day IS 'The day of the calls, by UTC.';
COMMENT ON COLUMN analytics.daily_agents.agent IS 'The agent, as the recordings'' names tell.';
COMMENT ON COLUMN analytics.daily_agents.competitor IS 'The competitor.';
COMMENT ON COLUMN analytics.daily_agents.calls IS 'Calls of the agent in which it was named.';
COMMENT ON COLUMN analytics.daily_agents.mentions IS 'How often it was named in them.';
COMMENT ON COLUMN analytics.daily_agents.by_agent IS 'Of these by the agent.';
COMMENT ON COLUMN analytics.daily_agents.by_customer IS 'Of these by the customers.';
COMMENT ON COLUMN analytics.daily_agents.positive IS 'Mentions that speak well of it.';
COMMENT ON COLUMN analytics.daily_agents.negative IS 'Mentions that speak badly of it.';
COMMENT ON COLUMN analytics.daily_agents.mean_score IS 'Mean score, -1 to 1.';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'callpipeline_analyst') THEN
        GRANT SELECT ON analytics.daily_calls, analytics.daily_competitors, analytics.daily_agents
            TO callpipeline_analyst;
    END IF;
END
$$;
