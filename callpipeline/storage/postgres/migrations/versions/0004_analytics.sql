CREATE SCHEMA analytics;
COMMENT ON SCHEMA analytics IS
    'Calls, what was said, which competitors were named and how: views to ask, by the time of the call.';

CREATE VIEW analytics.calls AS
SELECT c.call_id, coalesce(c.started_at, c.last_modified) AS took_place_at,
       (coalesce(c.started_at, c.last_modified) AT TIME ZONE 'UTC')::date AS day,
       c.state, c.bucket AS source, c.metadata ->> 'agent' AS agent,
       c.metadata ->> 'customer' AS customer, c.metadata ->> 'direction' AS direction, c.metadata,
       r.duration_s, c.created_at AS arrived_at, c.completed_at, c.error_stage, c.error_class,
       (SELECT bool_and(t.reliable) FROM callpipeline.transcripts t WHERE t.call_id = c.call_id)
           AS is_reliable
FROM callpipeline.calls c LEFT JOIN callpipeline.recordings r USING (call_id)
WHERE c.state NOT IN ('DUPLICATE', 'ERASED');
COMMENT ON VIEW analytics.calls IS
    'One row a call. Duplicates of another call, and erased ones, are not here.';
COMMENT ON COLUMN analytics.calls.call_id IS 'The call, in every view.';
COMMENT ON COLUMN analytics.calls.took_place_at IS
    'When the call took place, by its recording''s name; where nothing tells, when the recording was written.';
COMMENT ON COLUMN analytics.calls.day IS 'The day of took_place_at, by UTC.';
COMMENT ON COLUMN analytics.calls.state IS 'PENDING, PROCESSING, COMPLETED or FAILED.';
COMMENT ON COLUMN analytics.calls.source IS 'The folder or bucket that the recording came from.';
COMMENT ON COLUMN analytics.calls.agent IS 'The agent, where the recording''s name tells.';
COMMENT ON COLUMN analytics.calls.customer IS 'The customer, where the recording''s name tells.';
COMMENT ON COLUMN analytics.calls.direction IS 'Inbound or outbound, where the recording''s name tells.';
COMMENT ON COLUMN analytics.calls.metadata IS 'All that the recording''s name tells, as JSON.';
COMMENT ON COLUMN analytics.calls.duration_s IS 'Length of the recording in seconds; null until it is decoded.';
COMMENT ON COLUMN analytics.calls.arrived_at IS 'When the recording was entered.';
COMMENT ON COLUMN analytics.calls.completed_at IS 'When the call was completed, or failed.';
COMMENT ON COLUMN analytics.calls.error_stage IS 'The stage at which the call failed.';
COMMENT ON COLUMN analytics.calls.error_class IS 'What kind of error it failed with.';
COMMENT ON COLUMN analytics.calls.is_reliable IS
    'Whether the recogniser was sure of most words of every speaker; null without a transcript.';

CREATE VIEW analytics.channels AS
SELECT h.call_id, h.channel, h.speaker, h.duration_s, h.rms_dbfs AS loudness_dbfs,
       (SELECT coalesce(sum((i ->> 1)::float - (i ->> 0)::float), 0)
        FROM jsonb_array_elements(h.speech) AS i) AS speech_s,
       t.engine, t.language, t.word_count, t.confidence, t.reliable AS is_reliable
FROM callpipeline.channels h JOIN callpipeline.calls c USING (call_id)
LEFT JOIN callpipeline.transcripts t USING (call_id, channel)
WHERE c.state NOT IN ('DUPLICATE', 'ERASED');
COMMENT ON VIEW analytics.channels IS 'One row a speaker of a call, or one of a mono recording.';
COMMENT ON COLUMN analytics.channels.call_id IS 'The call.';
COMMENT ON COLUMN analytics.channels.channel IS 'left, right or mixed (mono).';
COMMENT ON COLUMN analytics.channels.speaker IS 'agent, customer, or unknown in a mono recording.';
COMMENT ON COLUMN analytics.channels.duration_s IS 'Length in seconds.';
COMMENT ON COLUMN analytics.channels.loudness_dbfs IS 'Mean loudness in dB below full scale.';
COMMENT ON COLUMN analytics.channels.speech_s IS 'Seconds in which somebody speaks.';
COMMENT ON COLUMN analytics.channels.engine IS 'The recogniser; null until it is transcribed.';
COMMENT ON COLUMN analytics.channels.language IS 'The language of the transcript.';
COMMENT ON COLUMN analytics.channels.word_count IS 'Words in the transcript.';
COMMENT ON COLUMN analytics.channels.confidence IS 'Mean confidence of the words, 0 to 1; null where the engine gives none.';
COMMENT ON COLUMN analytics.channels.is_reliable IS 'Whether the recogniser was sure of most words.';

CREATE VIEW analytics.segments AS
SELECT s.call_id, s.channel, s.segment_index, s.speaker, s.start_s, s.end_s, s.text
FROM callpipeline.segments s JOIN callpipeline.calls c USING (call_id)
WHERE c.state NOT IN ('DUPLICATE', 'ERASED');
COMMENT ON VIEW analytics.segments IS 'What was said: one row for each stretch of speech of one speaker.';
COMMENT ON COLUMN analytics.segments.call_id IS 'The call.';
COMMENT ON COLUMN analytics.segments.channel IS 'left, right or mixed.';
COMMENT ON COLUMN analytics.segments.segment_index IS 'Its place in the channel, from 0.';
COMMENT ON COLUMN analytics.segments.speaker IS 'agent, customer or unknown.';
COMMENT ON COLUMN analytics.segments.start_s IS 'Seconds from the beginning of the call.';
COMMENT ON COLUMN analytics.segments.end_s IS 'Seconds from the beginning of the call.';
COMMENT ON COLUMN analytics.segments.text IS 'The words.';

CREATE VIEW analytics.mentions AS
SELECT m.call_id, m.mention_id, coalesce(c.started_at, c.last_modified) AS took_place_at,
       (coalesce(c.started_at, c.last_modified) AT TIME ZONE 'UTC')::date AS day,
       c.metadata ->> 'agent' AS agent, m.competitor, m.alias, m.said, m.speaker, m.channel,
       m.segment_index, m.start_s, m.end_s, m.confidence, m.status, m.reason
FROM callpipeline.mentions m JOIN callpipeline.calls c USING (call_id)
WHERE c.state NOT IN ('DUPLICATE', 'ERASED');
COMMENT ON VIEW analytics.mentions IS
    'Every place where a competitor may be named. Only those with status accepted count elsewhere.';
COMMENT ON COLUMN analytics.mentions.call_id IS 'The call.';
COMMENT ON COLUMN analytics.mentions.mention_id IS 'The mention within its call.';
COMMENT ON COLUMN analytics.mentions.took_place_at IS 'When the call took place.';
COMMENT ON COLUMN analytics.mentions.day IS 'The day of the call, by UTC.';
COMMENT ON COLUMN analytics.mentions.agent IS 'The agent of the call, where known.';
COMMENT ON COLUMN analytics.mentions.competitor IS 'The competitor, as the list names it.';
COMMENT ON COLUMN analytics.mentions.alias IS 'The name of the competitor that was found.';
COMMENT ON COLUMN analytics.mentions.said IS 'The words as they were transcribed.';
COMMENT ON COLUMN analytics.mentions.speaker IS 'Who said it: agent, customer or unknown.';
COMMENT ON COLUMN analytics.mentions.channel IS 'left, right or mixed.';
COMMENT ON COLUMN analytics.mentions.segment_index IS 'The segment in which it was said.';
COMMENT ON COLUMN analytics.mentions.start_s IS 'Seconds from the beginning of the call.';
COMMENT ON COLUMN analytics.mentions.end_s IS 'Seconds from the beginning of the call.';
COMMENT ON COLUMN analytics.mentions.confidence IS 'How sure the recogniser was of these words, 0 to 1.';
COMMENT ON COLUMN analytics.mentions.status IS
    'accepted, unsure or rejected: an ordinary word needs evidence around it to be a competitor.';
COMMENT ON COLUMN analytics.mentions.reason IS 'The rule that set the status, and what it saw.';

CREATE VIEW analytics.sentiment AS
SELECT m.call_id, m.mention_id, m.took_place_at, m.day, m.agent, m.competitor, m.speaker, m.start_s,
       s.sentiment, s.score, s.quote, s.rule, s.engine
FROM analytics.mentions m JOIN callpipeline.sentiment s USING (call_id, mention_id)
WHERE m.status = 'accepted';
COMMENT ON VIEW analytics.sentiment IS 'How the speaker of each mention that counts speaks of the competitor.';
COMMENT ON COLUMN analytics.sentiment.call_id IS 'The call.';
COMMENT ON COLUMN analytics.sentiment.mention_id IS 'The mention within its call.';
COMMENT ON COLUMN analytics.sentiment.took_place_at IS 'When the call took place.';
COMMENT ON COLUMN analytics.sentiment.day IS 'The day of the call, by UTC.';
COMMENT ON COLUMN analytics.sentiment.agent IS 'The agent of the call, where known.';
COMMENT ON COLUMN analytics.sentiment.competitor IS 'The competitor.';
COMMENT ON COLUMN analytics.sentiment.speaker IS 'Who speaks: agent, customer or unknown.';
COMMENT ON COLUMN analytics.sentiment.start_s IS 'Seconds from the beginning of the call.';
COMMENT ON COLUMN analytics.sentiment.sentiment IS 'positive, neutral, negative, or unsure where the evidence contradicts itself.';
COMMENT ON COLUMN analytics.sentiment.score IS 'From -1 (negative) to 1 (positive).';
COMMENT ON COLUMN analytics.sentiment.quote IS 'The words that it rests on.';
COMMENT ON COLUMN analytics.sentiment.rule IS 'The rule that decided.';
COMMENT ON COLUMN analytics.sentiment.engine IS 'The engine that judged.';

CREATE VIEW analytics.call_metrics AS
SELECT m.call_id, c.took_place_at, c.day, c.agent, m.duration_s, m.agent_talk_s, m.customer_talk_s,
       m.unknown_talk_s, m.silence_s, m.longest_silence_s, m.overlap_s,
       m.agent_talk_s / nullif(m.agent_talk_s + m.customer_talk_s, 0) AS agent_talk_share,
       m.silence_s / nullif(m.duration_s, 0) AS silence_share, m.speech_detector
FROM callpipeline.call_metrics m JOIN analytics.calls c USING (call_id);
COMMENT ON VIEW analytics.call_metrics IS 'Who spoke how long.';
COMMENT ON COLUMN analytics.call_metrics.call_id IS 'The call.';
COMMENT ON COLUMN analytics.call_metrics.took_place_at IS 'When the call took place.';
COMMENT ON COLUMN analytics.call_metrics.day IS 'The day of the call, by UTC.';
COMMENT ON COLUMN analytics.call_metrics.agent IS 'The agent, where known.';
COMMENT ON COLUMN analytics.call_metrics.duration_s IS 'Length in seconds.';
COMMENT ON COLUMN analytics.call_metrics.agent_talk_s IS 'Seconds in which the agent speaks.';
COMMENT ON COLUMN analytics.call_metrics.customer_talk_s IS 'Seconds in which the customer speaks.';
COMMENT ON COLUMN analytics.call_metrics.unknown_talk_s IS 'Seconds of speech in a mono recording.';
COMMENT ON COLUMN analytics.call_metrics.silence_s IS 'Seconds in which nobody speaks.';
COMMENT ON COLUMN analytics.call_metrics.longest_silence_s IS 'The longest of these, in seconds.';
COMMENT ON COLUMN analytics.call_metrics.overlap_s IS 'Seconds in which both speak.';
COMMENT ON COLUMN analytics.call_metrics.agent_talk_share IS 'Of the speech of both the agent''s part, 0 to 1.';
COMMENT ON COLUMN analytics.call_metrics.silence_share IS 'Of the call the part in which nobody speaks, 0 to 1.';
COMMENT ON COLUMN analytics.call_metrics.speech_detector IS 'What detected speech: figures of different detectors do not compare.';

CREATE VIEW analytics.competitor_daily AS
SELECT m.day, m.competitor, count(DISTINCT m.call_id) AS calls, count(*) AS mentions,
       count(*) FILTER (WHERE m.speaker = 'customer') AS by_customer,
       count(*) FILTER (WHERE m.speaker = 'agent') AS by_agent,
       count(*) FILTER (WHERE s.sentiment = 'positive') AS positive,
       count(*) FILTER (WHERE s.sentiment = 'neutral') AS neutral,
       count(*) FILTER (WHERE s.sentiment = 'negative') AS negative,
       count(*) FILTER (WHERE s.sentiment = 'unsure') AS unsure,
       avg(s.score) AS mean_score
FROM analytics.mentions m LEFT JOIN callpipeline.sentiment s USING (call_id, mention_id)
WHERE m.status = 'accepted'
GROUP BY m.day, m.competitor;
COMMENT ON VIEW analytics.competitor_daily IS 'Each competitor on each day on which it was named.';
COMMENT ON COLUMN analytics.competitor_daily.day IS 'The day of the calls, by UTC.';
COMMENT ON COLUMN analytics.competitor_daily.competitor IS 'The competitor.';
COMMENT ON COLUMN analytics.competitor_daily.calls IS 'Calls in which it was named.';
COMMENT ON COLUMN analytics.competitor_daily.mentions IS 'How often it was named.';
COMMENT ON COLUMN analytics.competitor_daily.by_customer IS 'Of these by customers.';
COMMENT ON COLUMN analytics.competitor_daily.by_agent IS 'Of these by agents.';
COMMENT ON COLUMN analytics.competitor_daily.positive IS 'Mentions that speak well of it.';
COMMENT ON COLUMN analytics.competitor_daily.neutral IS 'Mentions that only name it.';
COMMENT ON COLUMN analytics.competitor_daily.negative IS 'Mentions that speak badly of it.';
COMMENT ON COLUMN analytics.competitor_daily.unsure IS 'Mentions whose evidence contradicts itself.';
COMMENT ON COLUMN analytics.competitor_daily.mean_score IS 'Mean score of the judged mentions, -1 to 1.';

CREATE VIEW analytics.share_of_voice AS
WITH named AS (
    SELECT day, competitor, mentions, calls FROM analytics.competitor_daily
), completed AS (
    SELECT day, count(*) AS calls FROM analytics.calls WHERE state = 'COMPLETED' GROUP BY day
)
SELECT n.day, n.competitor, n.mentions,
       n.mentions::float / sum(n.mentions) OVER (PARTITION BY n.day) AS share_of_mentions,
       n.calls, n.calls::float / nullif(c.calls, 0) AS share_of_calls, c.calls AS calls_of_day
FROM named n LEFT JOIN completed c USING (day);
COMMENT ON VIEW analytics.share_of_voice IS 'How much of a day''s talk of competitors is about each.';
COMMENT ON COLUMN analytics.share_of_voice.day IS 'The day of the calls, by UTC.';
COMMENT ON COLUMN analytics.share_of_voice.competitor IS 'The competitor.';
COMMENT ON COLUMN analytics.share_of_voice.mentions IS 'How often it was named.';
COMMENT ON COLUMN analytics.share_of_voice.share_of_mentions IS 'Of all mentions of competitors on that day, 0 to 1.';
COMMENT ON COLUMN analytics.share_of_voice.calls IS 'Calls in which it was named.';
COMMENT ON COLUMN analytics.share_of_voice.share_of_calls IS 'Of all completed calls of that day, 0 to 1.';
COMMENT ON COLUMN analytics.share_of_voice.calls_of_day IS 'Completed calls of that day.';

CREATE VIEW analytics.agent_competitor AS
SELECT m.agent, m.competitor, count(DISTINCT m.call_id) AS calls, count(*) AS mentions,
       count(*) FILTER (WHERE m.speaker = 'agent') AS by_agent,
       count(*) FILTER (WHERE m.speaker = 'customer') AS by_customer,
       count(*) FILTER (WHERE s.sentiment = 'positive') AS positive,
       count(*) FILTER (WHERE s.sentiment = 'negative') AS negative,
       avg(s.score) AS mean_score
FROM analytics.mentions m LEFT JOIN callpipeline.sentiment s USING (call_id, mention_id)
WHERE m.status = 'accepted' AND m.agent IS NOT NULL
GROUP BY m.agent, m.competitor;
COMMENT ON VIEW analytics.agent_competitor IS 'Which competitors come up in whose calls.';
COMMENT ON COLUMN analytics.agent_competitor.agent IS 'The agent, as the recordings'' names tell.';
COMMENT ON COLUMN analytics.agent_competitor.competitor IS 'The competitor.';
COMMENT ON COLUMN analytics.agent_competitor.calls IS 'Calls of the agent in which it was named.';
COMMENT ON COLUMN analytics.agent_competitor.mentions IS 'How often it was named in them.';
COMMENT ON COLUMN analytics.agent_competitor.by_agent IS 'Of these by the agent.';
COMMENT ON COLUMN analytics.agent_competitor.by_customer IS 'Of these by the customers.';
COMMENT ON COLUMN analytics.agent_competitor.positive IS 'Mentions that speak well of it.';
COMMENT ON COLUMN analytics.agent_competitor.negative IS 'Mentions that speak badly of it.';
COMMENT ON COLUMN analytics.agent_competitor.mean_score IS 'Mean score, -1 to 1.';

CREATE VIEW analytics.sentiment_trend AS
WITH weekly AS (
    SELECT date_trunc('week', day::timestamp)::date AS week, competitor, count(*) AS judged,
           count(*) FILTER (WHERE sentiment = 'positive') AS positive,
           count(*) FILTER (WHERE sentiment = 'negative') AS negative,
           avg(score) AS mean_score
    FROM analytics.sentiment GROUP BY 1, 2
)
SELECT week, competitor, judged, positive, negative, mean_score,
       mean_score - lag(mean_score) OVER (PARTITION BY competitor ORDER BY week) AS change
FROM weekly;
COMMENT ON VIEW analytics.sentiment_trend IS 'How the talk of each competitor changes from week to week.';
COMMENT ON COLUMN analytics.sentiment_trend.week IS 'The Monday with which the week begins, by UTC.';
COMMENT ON COLUMN analytics.sentiment_trend.competitor IS 'The competitor.';
COMMENT ON COLUMN analytics.sentiment_trend.judged IS 'Mentions that were judged.';
COMMENT ON COLUMN analytics.sentiment_trend.positive IS 'Of these positive.';
COMMENT ON COLUMN analytics.sentiment_trend.negative IS 'Of these negative.';
COMMENT ON COLUMN analytics.sentiment_trend.mean_score IS 'Mean score of the week, -1 to 1.';
COMMENT ON COLUMN analytics.sentiment_trend.change IS
    'Against the last week in which it was named; null for the first.';

CREATE VIEW analytics.first_mention AS
SELECT DISTINCT ON (m.call_id, m.competitor)
       m.call_id, m.competitor, m.took_place_at, m.day, m.agent, m.speaker AS brought_up_by,
       m.start_s AS at_s, m.start_s / nullif(r.duration_s, 0) AS at_share, m.said, s.sentiment
FROM analytics.mentions m
LEFT JOIN callpipeline.sentiment s USING (call_id, mention_id)
LEFT JOIN callpipeline.recordings r USING (call_id)
WHERE m.status = 'accepted'
ORDER BY m.call_id, m.competitor, m.start_s, m.mention_id;
COMMENT ON VIEW analytics.first_mention IS 'Who brought each competitor up in a call, and when.';
COMMENT ON COLUMN analytics.first_mention.call_id IS 'The call.';
COMMENT ON COLUMN analytics.first_mention.competitor IS 'The competitor.';
COMMENT ON COLUMN analytics.first_mention.took_place_at IS 'When the call took place.';
COMMENT ON COLUMN analytics.first_mention.day IS 'The day of the call, by UTC.';
COMMENT ON COLUMN analytics.first_mention.agent IS 'The agent of the call, where known.';
COMMENT ON COLUMN analytics.first_mention.brought_up_by IS 'Who named it first: agent, customer or unknown.';
COMMENT ON COLUMN analytics.first_mention.at_s IS 'Seconds from the beginning of the call.';
COMMENT ON COLUMN analytics.first_mention.at_share IS 'The same as a part of the call''s length, 0 to 1.';
COMMENT ON COLUMN analytics.first_mention.said IS 'The words.';
COMMENT ON COLUMN analytics.first_mention.sentiment IS 'How it was spoken of then.';

CREATE VIEW analytics.switching AS
SELECT s.call_id, s.mention_id, s.took_place_at, s.day, s.agent, s.competitor,
       CASE WHEN s.rule LIKE 'joining:%' THEN 'to' ELSE 'from' END AS direction,
       s.speaker, s.start_s, s.quote, s.rule
FROM analytics.sentiment s
WHERE s.rule LIKE 'joining:%' AND s.score > 0 OR s.rule LIKE 'leaving:%' AND s.score < 0;
COMMENT ON VIEW analytics.switching IS
    'Customers who say that they go to a competitor, or come from one, by the rules of the lexicon.';
COMMENT ON COLUMN analytics.switching.call_id IS 'The call.';
COMMENT ON COLUMN analytics.switching.mention_id IS 'The mention within its call.';
COMMENT ON COLUMN analytics.switching.took_place_at IS 'When the call took place.';
COMMENT ON COLUMN analytics.switching.day IS 'The day of the call, by UTC.';
COMMENT ON COLUMN analytics.switching.agent IS 'The agent of the call, where known.';
COMMENT ON COLUMN analytics.switching.competitor IS 'The competitor.';
COMMENT ON COLUMN analytics.switching.direction IS 'to: they go to it; from: they leave it.';
COMMENT ON COLUMN analytics.switching.speaker IS 'Who says so: customer, or unknown in a mono recording.';
COMMENT ON COLUMN analytics.switching.start_s IS 'Seconds from the beginning of the call.';
COMMENT ON COLUMN analytics.switching.quote IS 'The words that it rests on.';
COMMENT ON COLUMN analytics.switching.rule IS 'The rule that decided, and the words it saw.';

-- Who may read the views and nothing else: GRANT callpipeline_analyst TO alice. A role belongs to
-- all databases of a server; whose user may make none makes it, and grants, by other means.
DO $$
BEGIN
    CREATE ROLE callpipeline_analyst NOLOGIN;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'role callpipeline_analyst was not made: the user may make no roles';
END
$$;
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'callpipeline_analyst') THEN
        GRANT USAGE ON SCHEMA analytics TO callpipeline_analyst;
        GRANT SELECT ON ALL TABLES IN SCHEMA analytics TO callpipeline_analyst;
    END IF;
END
$$;
