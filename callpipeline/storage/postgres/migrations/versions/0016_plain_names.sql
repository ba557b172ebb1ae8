ALTER TABLE callpipeline.calls RENAME COLUMN fruitless TO idle_runs;
ALTER TABLE callpipeline.calls RENAME COLUMN given_back TO releases;
ALTER TABLE callpipeline.calls RENAME COLUMN not_before TO next_attempt_at;
ALTER TABLE callpipeline.calls RENAME COLUMN away_since TO unavailable_since;
ALTER TABLE callpipeline.calls RENAME COLUMN away_from TO unavailable_service;
ALTER INDEX callpipeline.calls_away RENAME TO calls_by_unavailable_since;
ALTER INDEX callpipeline.calls_away_from RENAME TO calls_by_unavailable_service;
ALTER TABLE callpipeline.runs RENAME COLUMN alive_at TO heartbeat_at;
ALTER TABLE callpipeline.outages RENAME COLUMN again_at TO retry_at;
ALTER TABLE callpipeline.notifications RENAME COLUMN not_before TO next_attempt_at;
ALTER TABLE callpipeline.unjudged RENAME COLUMN not_before TO next_attempt_at;
ALTER TABLE callpipeline.unjudged RENAME COLUMN away_since TO unavailable_since;
ALTER TABLE callpipeline.unjudged RENAME COLUMN away_from TO unavailable_service;

-- Objects get plainer names.
ALTER TABLE callpipeline.outages RENAME COLUMN tries TO attempts;
ALTER TABLE callpipeline.outages RENAME COLUMN asked_at TO probe_started_at;
ALTER TABLE callpipeline.outbox RENAME COLUMN untold TO pending_channels;
ALTER TABLE callpipeline.notifications RENAME COLUMN hurried TO retried_early;
ALTER TABLE callpipeline.receivers_off RENAME TO disabled_receivers;
ALTER TABLE callpipeline.disabled_receivers
    RENAME CONSTRAINT receivers_off_pkey TO disabled_receivers_pkey;
ALTER INDEX callpipeline.calls_held RENAME TO calls_by_claim;
ALTER INDEX callpipeline.calls_by_first RENAME TO calls_by_original;
ALTER INDEX callpipeline.calls_waiting RENAME TO calls_pending;
ALTER INDEX callpipeline.calls_in_batches RENAME TO calls_by_batch;
ALTER INDEX callpipeline.outbox_untold RENAME TO outbox_pending;
ALTER INDEX callpipeline.notifications_in_turn RENAME TO notifications_in_order;
ALTER FUNCTION callpipeline.tell_failed_call() RENAME TO enqueue_failed_call;
ALTER TRIGGER tell_failed_call ON callpipeline.calls RENAME TO enqueue_failed_call;
ALTER FUNCTION callpipeline.note_first_end() RENAME TO set_first_ended_at;
ALTER TRIGGER note_first_end ON callpipeline.calls RENAME TO set_first_ended_at;

-- The spoken text of a mention. Views keep the name `said`, which queries of analysts use.
ALTER TABLE callpipeline.mentions RENAME COLUMN said TO text;

-- Statuses, decisions and labels get the names of docs/glossary.md. The triggers that maintain the
-- reading tables stay off meanwhile: the same mentions count as before.
ALTER TABLE callpipeline.mentions DISABLE TRIGGER read_mention;
ALTER TABLE callpipeline.sentiment DISABLE TRIGGER read_sentiment;

ALTER TABLE callpipeline.mentions DROP CONSTRAINT mentions_status_check;
UPDATE callpipeline.mentions SET
    status = CASE status WHEN 'accepted' THEN 'counted' WHEN 'unsure' THEN 'needs_review'
             WHEN 'rejected' THEN 'dismissed' END,
    found_status = CASE found_status WHEN 'accepted' THEN 'counted' WHEN 'unsure' THEN 'needs_review'
                   WHEN 'rejected' THEN 'dismissed' END,
    reason = CASE reason WHEN 'a person accepted it' THEN 'a person confirmed it'
             WHEN 'a person refused it' THEN 'a person dismissed it' ELSE reason END;
ALTER TABLE callpipeline.mentions ADD CONSTRAINT mentions_status_check
    CHECK (status IN ('counted', 'needs_review', 'dismissed'));
DROP INDEX callpipeline.mentions_unsure;
CREATE INDEX mentions_needing_review ON callpipeline.mentions (competitor, call_id)
    WHERE status = 'needs_review';

ALTER TABLE callpipeline.reviews DROP CONSTRAINT reviews_decision_check;
UPDATE callpipeline.reviews SET
    decision = CASE decision WHEN 'accepted' THEN 'confirmed' WHEN 'refused' THEN 'dismissed'
               WHEN 'left' THEN 'reset' END;
ALTER TABLE callpipeline.reviews ADD CONSTRAINT reviews_decision_check
    CHECK (decision IN ('confirmed', 'dismissed', 'reset'));
COMMENT ON COLUMN callpipeline.reviews.decision IS
    'confirmed (it counts), dismissed (it does not), or reset (the rules decide again).';

ALTER TABLE callpipeline.sentiment DROP CONSTRAINT sentiment_sentiment_check;
UPDATE callpipeline.sentiment SET sentiment = 'mixed' WHERE sentiment = 'unsure';
ALTER TABLE callpipeline.sentiment ADD CONSTRAINT sentiment_sentiment_check
    CHECK (sentiment IN ('positive', 'neutral', 'negative', 'mixed'));
UPDATE callpipeline.reading_mentions SET stance = 'mixed' WHERE stance = 'unsure';
ALTER TABLE callpipeline.daily_competitors RENAME COLUMN unsure TO mixed;

ALTER TABLE callpipeline.mentions ENABLE TRIGGER read_mention;
ALTER TABLE callpipeline.sentiment ENABLE TRIGGER read_sentiment;

CREATE OR REPLACE FUNCTION callpipeline.read_call_mentions(which text, mention text DEFAULT NULL)
RETURNS void LANGUAGE sql SET search_path = callpipeline AS $$
    INSERT INTO reading_mentions
    SELECT m.call_id, m.mention_id, c.day, c.agent, c.source, m.competitor, m.speaker,
           coalesce(s.sentiment, 'unjudged'), s.score
    FROM mentions m JOIN reading_calls c USING (call_id)
    LEFT JOIN sentiment s USING (call_id, mention_id)
    WHERE m.call_id = which AND (mention IS NULL OR m.mention_id = mention)
      AND m.status = 'counted' AND c.state NOT IN ('DUPLICATE', 'ERASED')
$$;

-- The one definition of share of voice: views, marts, pages and the API use it.
CREATE FUNCTION callpipeline.share_of_voice(mentions bigint, all_mentions numeric)
RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT mentions::double precision / nullif(all_mentions, 0)
$$;
COMMENT ON FUNCTION callpipeline.share_of_voice IS
    'Return the part of all counted mentions that are about one competitor, 0 to 1.';

CREATE OR REPLACE VIEW analytics.sentiment AS
SELECT m.call_id, m.mention_id, m.took_place_at, m.day, m.agent, m.competitor, m.speaker, m.start_s,
       s.sentiment, s.score, s.quote, s.rule, s.engine,
       CASE WHEN s.mention_id IS NOT NULL THEN 'judged'
            WHEN u.next_attempt_at IS NOT NULL THEN 'waiting'
            ELSE 'failed' END AS sentiment_status,
       CASE WHEN s.mention_id IS NULL THEN u.reason END AS not_judged_because
FROM analytics.mentions m
LEFT JOIN callpipeline.sentiment s USING (call_id, mention_id)
LEFT JOIN callpipeline.unjudged u USING (call_id, mention_id)
WHERE m.status = 'counted' AND (s.mention_id IS NOT NULL OR u.mention_id IS NOT NULL);

ALTER VIEW analytics.competitor_daily RENAME COLUMN unsure TO mixed;
ALTER VIEW analytics.daily_competitors RENAME COLUMN unsure TO mixed;
CREATE OR REPLACE VIEW analytics.competitor_daily AS
SELECT m.day, m.competitor, count(DISTINCT m.call_id) AS calls, count(*) AS mentions,
       count(*) FILTER (WHERE m.speaker = 'customer') AS by_customer,
       count(*) FILTER (WHERE m.speaker = 'agent') AS by_agent,
       count(*) FILTER (WHERE s.sentiment = 'positive') AS positive,
       count(*) FILTER (WHERE s.sentiment = 'neutral') AS neutral,
       count(*) FILTER (WHERE s.sentiment = 'negative') AS negative,
       count(*) FILTER (WHERE s.sentiment = 'mixed') AS mixed,
       avg(s.score) AS mean_score
FROM analytics.mentions m LEFT JOIN callpipeline.sentiment s USING (call_id, mention_id)
WHERE m.status = 'counted'
GROUP BY m.day, m.competitor;

CREATE OR REPLACE VIEW analytics.share_of_voice AS
WITH named AS (
    SELECT day, competitor, mentions, calls FROM analytics.competitor_daily
), completed AS (
    SELECT day, count(*) AS calls FROM analytics.calls WHERE state = 'COMPLETED' GROUP BY day
)
SELECT n.day, n.competitor, n.mentions,
       callpipeline.share_of_voice(n.mentions, sum(n.mentions) OVER (PARTITION BY n.day))
           AS share_of_mentions,
       n.calls, n.calls::float / nullif(c.calls, 0) AS share_of_calls, c.calls AS calls_of_day
FROM named n LEFT JOIN completed c USING (day);

CREATE OR REPLACE VIEW analytics.agent_competitor AS
SELECT m.agent, m.competitor, count(DISTINCT m.call_id) AS calls, count(*) AS mentions,
       count(*) FILTER (WHERE m.speaker = 'agent') AS by_agent,
       count(*) FILTER (WHERE m.speaker = 'customer') AS by_customer,
       count(*) FILTER (WHERE s.sentiment = 'positive') AS positive,
       count(*) FILTER (WHERE s.sentiment = 'negative') AS negative,
       avg(s.score) AS mean_score
FROM analytics.mentions m LEFT JOIN callpipeline.sentiment s USING (call_id, mention_id)
WHERE m.status = 'counted' AND m.agent IS NOT NULL
GROUP BY m.agent, m.competitor;

CREATE OR REPLACE VIEW analytics.first_mention AS
SELECT DISTINCT ON (m.call_id, m.competitor)
       m.call_id, m.competitor, m.took_place_at, m.day, m.agent, m.speaker AS brought_up_by,
       m.start_s AS at_s, m.start_s / nullif(r.duration_s, 0) AS at_share, m.said, s.sentiment
FROM analytics.mentions m
LEFT JOIN callpipeline.sentiment s USING (call_id, mention_id)
LEFT JOIN callpipeline.recordings r USING (call_id)
WHERE m.status = 'counted'
ORDER BY m.call_id, m.competitor, m.start_s, m.mention_id;

-- Stored names of an error class that was renamed.
UPDATE callpipeline.calls SET error_class = 'ServiceUnavailable' WHERE error_class = 'EngineAway';
UPDATE callpipeline.unjudged SET error_class = 'ServiceUnavailable'
    WHERE error_class = 'EngineAway';
-- Open incidents keep their events: both are found by the group key, which ends in the class.
UPDATE callpipeline.outbox SET
    error_class = CASE error_class WHEN 'EngineAway' THEN 'ServiceUnavailable'
                                   ELSE error_class END,
    group_key = regexp_replace(group_key, ':EngineAway$', ':ServiceUnavailable')
WHERE error_class = 'EngineAway' OR group_key LIKE '%:EngineAway';
UPDATE callpipeline.incidents SET
    group_key = regexp_replace(group_key, ':EngineAway$', ':ServiceUnavailable')
WHERE group_key LIKE '%:EngineAway';

-- A function in a view is checked against whoever reads the view.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'callpipeline_analyst') THEN
        GRANT EXECUTE ON FUNCTION callpipeline.share_of_voice(bigint, numeric)
            TO callpipeline_analyst;
    END IF;
END
$$;

-- Comments of all tables, columns and views.
COMMENT ON TABLE callpipeline.catalog_versions IS
    'Every version of the competitor catalog that results refer to.';
COMMENT ON TABLE callpipeline.calls IS 'The ledger: one row per recording.';
COMMENT ON COLUMN callpipeline.calls.started_at IS 'Start of the call; null if unknown.';
COMMENT ON COLUMN callpipeline.calls.metadata IS
    'Metadata from the recording''s name, by the pattern of its source: agent, customer, direction, …';
COMMENT ON COLUMN callpipeline.calls.duplicate_of IS 'The earlier call with the same content.';
COMMENT ON COLUMN callpipeline.calls.idle_runs IS
    'Consecutive runs that ended before the call did, through no fault of the call.';
COMMENT ON COLUMN callpipeline.calls.releases IS
    'How many of these runs had claimed the call and released it.';
COMMENT ON COLUMN callpipeline.calls.attempts IS 'Attempts since the last run that ended normally.';
COMMENT ON COLUMN callpipeline.calls.retries IS 'Attempts that ended in a transient error.';
COMMENT ON COLUMN callpipeline.calls.first_ended_at IS
    'When the call completed or failed for the first time.';
COMMENT ON COLUMN callpipeline.calls.unavailable_since IS
    'Since when the call waits for an unavailable service; null if it does not.';
COMMENT ON COLUMN callpipeline.calls.unavailable_service IS
    'The service that the call waits for, as in table outages; null if none.';
COMMENT ON COLUMN callpipeline.calls.next_attempt_at IS
    'A pending call is not assigned to a batch before this time.';
COMMENT ON TABLE callpipeline.announced IS 'Calls whose recording was announced by URL.';
COMMENT ON COLUMN callpipeline.announced.identity IS
    'Hash of the URL and the idempotency key; identifies repeated announcements.';
COMMENT ON COLUMN callpipeline.announced.url IS
    'The URL, which may be signed and therefore secret; null once the recording is stored.';
COMMENT ON TABLE callpipeline.contents IS 'The owner of each content: the call that had it first.';
COMMENT ON TABLE callpipeline.outages IS
    'Services that are unavailable. One request probes each at retry_at.';
COMMENT ON COLUMN callpipeline.outages.probe_started_at IS
    'When a call was assigned to a batch as a probe; null after the probe.';
COMMENT ON TABLE callpipeline.runs IS
    'Runs that hold calls. A run without a recent heartbeat is considered dead.';
COMMENT ON TABLE callpipeline.call_stages IS
    'Stored stages of calls, written together with their results.';
COMMENT ON TABLE callpipeline.recordings IS 'Properties of decoded recordings.';
COMMENT ON COLUMN callpipeline.recordings.flags IS
    'Problems of the recording: [{flag, detail, channel}].';
COMMENT ON TABLE callpipeline.channels IS 'Audio of each channel of a call.';
COMMENT ON COLUMN callpipeline.channels.speech IS 'Intervals of speech: [[start_s, end_s], …].';
COMMENT ON TABLE callpipeline.call_metrics IS 'Talk time, silence and overlap of each call.';
COMMENT ON TABLE callpipeline.transcripts IS
    'Transcript of each channel; its words are in the object store.';
COMMENT ON COLUMN callpipeline.transcripts.confidence IS
    'Mean word confidence, 0 to 1; null if the engine reports none.';
COMMENT ON TABLE callpipeline.segments IS 'Segments of speech, with a full-text index.';
COMMENT ON TABLE callpipeline.mentions IS
    'Mentions of competitors, with the decision whether each counts.';
COMMENT ON COLUMN callpipeline.mentions.reason IS
    'The rule that set the status, with the words that it matched.';
COMMENT ON COLUMN callpipeline.mentions.found_status IS
    'Status by the rules, if a person reviewed the mention; otherwise null.';
COMMENT ON COLUMN callpipeline.mentions.found_reason IS 'The rule that set found_status.';
COMMENT ON TABLE callpipeline.reviews IS
    'Decisions of people about mentions. The last decision counts; none is changed or deleted.';
COMMENT ON COLUMN callpipeline.reviews.mention_id IS
    'Not a foreign key: a mention may disappear and be found again.';
COMMENT ON COLUMN callpipeline.reviews.start_s IS
    'Position of the mention: in another transcript, its id may belong to another word.';
COMMENT ON COLUMN callpipeline.reviews.undoes IS 'The decision that this one reverts.';
COMMENT ON TABLE callpipeline.sentiment IS
    'Sentiment of each counted mention towards the competitor.';
COMMENT ON TABLE callpipeline.unjudged IS
    'Mentions of complete calls whose sentiment is missing, with the reason and the next retry.';
COMMENT ON COLUMN callpipeline.unjudged.tries IS
    'Attempts so far; reset when a person requests a retry.';
COMMENT ON COLUMN callpipeline.unjudged.next_attempt_at IS
    'Not retried before this time; null if there are no more automatic retries.';
COMMENT ON COLUMN callpipeline.unjudged.unavailable_service IS
    'The service that the mention waits for, without using up a retry; null if none.';
COMMENT ON COLUMN callpipeline.unjudged.asked_by IS
    'The last run that retried it; null once another run claims the call.';
COMMENT ON TABLE callpipeline.discovery IS
    'Position of discovery in each source. Without a row, discovery starts from the beginning.';
COMMENT ON COLUMN callpipeline.discovery.token IS
    'Cursor of the sensor, as long as the position is valid.';
COMMENT ON COLUMN callpipeline.discovery.position IS
    'JSON with object keys; text, because jsonb rejects some of their characters.';
COMMENT ON TABLE callpipeline.incidents IS
    'Groups of related events, such as an outage; notified at most every ten minutes.';
COMMENT ON COLUMN callpipeline.incidents.recovers IS 'Whether the recovery is notified.';
COMMENT ON COLUMN callpipeline.incidents.cleared_at IS 'When the problem was found to be resolved.';
COMMENT ON TABLE callpipeline.outbox IS
    'Events to notify, written in the transaction that causes them.';
COMMENT ON COLUMN callpipeline.outbox.subject IS
    'Identifies what happened, for events that must be notified only once.';
COMMENT ON COLUMN callpipeline.outbox.channels IS
    'Requested channels; null applies the routing rules.';
COMMENT ON COLUMN callpipeline.outbox.incident_id IS 'Null until the event is dispatched.';
COMMENT ON COLUMN callpipeline.outbox.pending_channels IS
    'Channels that still need a notification of the event.';
COMMENT ON TABLE callpipeline.notifications IS
    'Messages to one channel about one or more events. The id is the same in every attempt.';
COMMENT ON COLUMN callpipeline.notifications.leased_until IS
    'A process delivers the message until this time; later, another one may.';
COMMENT ON COLUMN callpipeline.notifications.attempts_before IS
    'Attempts before a person requested a retry, which restarts the backoff.';
COMMENT ON COLUMN callpipeline.notifications.asked_until IS
    'The receiver asked for no deliveries until this time (Retry-After).';
COMMENT ON COLUMN callpipeline.notifications.retried_early IS
    'Whether it was retried early because another message was delivered.';
COMMENT ON COLUMN callpipeline.notifications.receipt IS
    'The receiver''s id of the message, for threads.';
COMMENT ON TABLE callpipeline.notification_events IS
    'Events of each message: every event once per channel.';
COMMENT ON TABLE callpipeline.deliveries IS
    'Attempts to deliver a message, with the receiver''s answer.';
COMMENT ON TABLE callpipeline.disabled_receivers IS 'Receivers that permanently refused messages.';
COMMENT ON COLUMN callpipeline.disabled_receivers.address IS
    'Hash of the address; a new address enables the channel again.';
COMMENT ON TABLE callpipeline.erasures IS
    'Calls that were erased or are being erased. Bucket and key are null once the object is deleted.';
COMMENT ON COLUMN callpipeline.erasures.because IS
    'Reason given by the person who requested the erasure.';
COMMENT ON COLUMN callpipeline.erasures.keep_recording IS
    'Whether the original recording is kept; it is not imported again.';
COMMENT ON COLUMN callpipeline.erasures.is_unread IS
    'Whether the recording must be read before it is deleted, to know its content hash.';
COMMENT ON COLUMN callpipeline.erasures.run_id IS
    'The run that processed the call when it was erased.';
COMMENT ON COLUMN callpipeline.erasures.trouble IS
    'Error that prevents completion; the erasure is retried.';
COMMENT ON COLUMN callpipeline.erasures.verified_at IS
    'When nothing of the call was found, some minutes after the erasure.';
COMMENT ON TABLE callpipeline.deletions IS
    'Log of deletions. Without call_id: of several calls, or of none.';
COMMENT ON COLUMN callpipeline.deletions.what IS
    'recording, channel_audio, transcripts, call, notifications; in Dagster partition_keys, runs, events, ticks, backfills.';
COMMENT ON VIEW callpipeline.stored_stages IS
    'Stages with stored results, without those that retention has deleted since.';
COMMENT ON TABLE callpipeline.idempotent_requests IS
    'Requests with an Idempotency-Key, kept for two days.';
COMMENT ON COLUMN callpipeline.idempotent_requests.key_hash IS
    'SHA-256 of the client, the endpoint and the key.';
COMMENT ON COLUMN callpipeline.idempotent_requests.fingerprint IS 'SHA-256 of the request.';
COMMENT ON COLUMN callpipeline.idempotent_requests.holder IS
    'The process that handles the request, exclusively until held_until.';
COMMENT ON COLUMN callpipeline.idempotent_requests.answer IS
    'The response; null until the request is handled.';
COMMENT ON TABLE callpipeline.api_keys IS
    'API keys of programs. Only a hash of the secret is stored; revoked keys are kept as a record.';
COMMENT ON COLUMN callpipeline.api_keys.last_used_at IS 'Accurate to about a minute.';
COMMENT ON COLUMN callpipeline.api_keys.created_by IS 'User and machine that ran the command.';
COMMENT ON TABLE callpipeline.web_sessions IS
    'Sessions of the web app. Only a hash of the cookie is stored.';
COMMENT ON COLUMN callpipeline.web_sessions.password_mark IS
    'Keyed hash of the password at login: a new password ends the session.';
COMMENT ON COLUMN callpipeline.web_sessions.seen_at IS 'Last request; accurate to about a minute.';
COMMENT ON TABLE callpipeline.reading_calls IS
    'Read model of calls for lists and charts; triggers on calls and recordings maintain it.';
COMMENT ON COLUMN callpipeline.reading_calls.agent IS 'Agent in lower case; empty if unknown.';
COMMENT ON COLUMN callpipeline.reading_calls.agent_name IS 'Agent as written in the metadata.';
COMMENT ON COLUMN callpipeline.reading_calls.name IS 'Key of the recording in lower case.';
COMMENT ON TABLE callpipeline.reading_mentions IS
    'Read model of counted mentions for charts; triggers on mentions, sentiment and calls maintain it.';
COMMENT ON COLUMN callpipeline.reading_mentions.stance IS 'The sentiment, or unjudged.';
COMMENT ON TABLE callpipeline.daily_calls IS 'Calls by day, including days without calls.';
COMMENT ON COLUMN callpipeline.daily_calls.day IS 'Day of the calls, UTC.';
COMMENT ON COLUMN callpipeline.daily_calls.calls IS
    'Calls of that day, without duplicates and erased calls.';
COMMENT ON COLUMN callpipeline.daily_calls.completed IS 'Completed calls.';
COMMENT ON COLUMN callpipeline.daily_calls.failed IS 'Failed calls.';
COMMENT ON COLUMN callpipeline.daily_calls.mentions IS 'Mentions of competitors.';
COMMENT ON COLUMN callpipeline.daily_calls.audio_h IS 'Hours of audio.';
COMMENT ON COLUMN callpipeline.daily_calls.agent_talk_h IS 'Talk time of agents in hours.';
COMMENT ON COLUMN callpipeline.daily_calls.customer_talk_h IS 'Talk time of customers in hours.';
COMMENT ON COLUMN callpipeline.daily_calls.silence_h IS 'Silence in hours.';
COMMENT ON COLUMN callpipeline.daily_calls.channel_audio_p50_s IS
    'Seconds to split a recording; median.';
COMMENT ON COLUMN callpipeline.daily_calls.channel_audio_p95_s IS
    'Seconds to split a recording; 95th percentile.';
COMMENT ON COLUMN callpipeline.daily_calls.transcripts_p50_s IS
    'Seconds to transcribe a call; median.';
COMMENT ON COLUMN callpipeline.daily_calls.transcripts_p95_s IS
    'Seconds to transcribe a call; 95th percentile.';
COMMENT ON COLUMN callpipeline.daily_calls.competitor_sentiment_p50_s IS
    'Seconds to judge the mentions of a call; median.';
COMMENT ON COLUMN callpipeline.daily_calls.competitor_sentiment_p95_s IS
    'Seconds to judge the mentions of a call; 95th percentile.';
COMMENT ON COLUMN callpipeline.daily_calls.made_at IS
    'When the calls were read to compute this row.';
COMMENT ON TABLE callpipeline.daily_competitors IS 'Competitors by day, for days with a mention.';
COMMENT ON COLUMN callpipeline.daily_competitors.day IS 'Day of the calls, UTC.';
COMMENT ON COLUMN callpipeline.daily_competitors.competitor IS 'The competitor.';
COMMENT ON COLUMN callpipeline.daily_competitors.calls IS 'Calls with a mention.';
COMMENT ON COLUMN callpipeline.daily_competitors.mentions IS 'Mentions.';
COMMENT ON COLUMN callpipeline.daily_competitors.by_customer IS 'Mentions by customers.';
COMMENT ON COLUMN callpipeline.daily_competitors.by_agent IS 'Mentions by agents.';
COMMENT ON COLUMN callpipeline.daily_competitors.positive IS 'Positive mentions.';
COMMENT ON COLUMN callpipeline.daily_competitors.neutral IS 'Neutral mentions.';
COMMENT ON COLUMN callpipeline.daily_competitors.negative IS 'Negative mentions.';
COMMENT ON COLUMN callpipeline.daily_competitors.mixed IS 'Mentions with contradictory evidence.';
COMMENT ON COLUMN callpipeline.daily_competitors.mean_score IS
    'Mean score of the judged mentions, -1 to 1.';
COMMENT ON COLUMN callpipeline.daily_competitors.share_of_mentions IS
    'Part of all mentions of that day, 0 to 1.';
COMMENT ON COLUMN callpipeline.daily_competitors.share_of_calls IS
    'Part of all completed calls of that day, 0 to 1.';
COMMENT ON TABLE callpipeline.daily_agents IS 'Competitors by agent and day.';
COMMENT ON COLUMN callpipeline.daily_agents.day IS 'Day of the calls, UTC.';
COMMENT ON COLUMN callpipeline.daily_agents.agent IS 'The agent, from the names of the recordings.';
COMMENT ON COLUMN callpipeline.daily_agents.competitor IS 'The competitor.';
COMMENT ON COLUMN callpipeline.daily_agents.calls IS 'Calls of the agent with a mention.';
COMMENT ON COLUMN callpipeline.daily_agents.mentions IS 'Mentions in these calls.';
COMMENT ON COLUMN callpipeline.daily_agents.by_agent IS 'Mentions by the agent.';
COMMENT ON COLUMN callpipeline.daily_agents.by_customer IS 'Mentions by customers.';
COMMENT ON COLUMN callpipeline.daily_agents.positive IS 'Positive mentions.';
COMMENT ON COLUMN callpipeline.daily_agents.negative IS 'Negative mentions.';
COMMENT ON COLUMN callpipeline.daily_agents.mean_score IS 'Mean score, -1 to 1.';
COMMENT ON SCHEMA analytics IS
    'Calls, transcripts, mentions and sentiment as views for queries, by the time of the call.';
COMMENT ON VIEW analytics.calls IS 'One row per call, without duplicates and erased calls.';
COMMENT ON COLUMN analytics.calls.call_id IS 'Id of the call, the same in every view.';
COMMENT ON COLUMN analytics.calls.took_place_at IS
    'When the call took place, from the name of its recording; if unknown, when the recording was written.';
COMMENT ON COLUMN analytics.calls.day IS 'Day of took_place_at, UTC.';
COMMENT ON COLUMN analytics.calls.state IS 'PENDING, PROCESSING, COMPLETED or FAILED.';
COMMENT ON COLUMN analytics.calls.source IS 'Folder or bucket of the recording.';
COMMENT ON COLUMN analytics.calls.agent IS
    'Agent, from the name of the recording; null if unknown.';
COMMENT ON COLUMN analytics.calls.customer IS
    'Customer, from the name of the recording; null if unknown.';
COMMENT ON COLUMN analytics.calls.direction IS
    'inbound or outbound, from the name of the recording; null if unknown.';
COMMENT ON COLUMN analytics.calls.metadata IS
    'All metadata from the name of the recording, as JSON.';
COMMENT ON COLUMN analytics.calls.duration_s IS
    'Duration of the recording in seconds; null until it is decoded.';
COMMENT ON COLUMN analytics.calls.arrived_at IS 'When the recording was registered.';
COMMENT ON COLUMN analytics.calls.completed_at IS 'When the call completed or failed.';
COMMENT ON COLUMN analytics.calls.error_stage IS 'Stage at which the call failed.';
COMMENT ON COLUMN analytics.calls.error_class IS 'Class of the error.';
COMMENT ON COLUMN analytics.calls.is_reliable IS
    'Whether most words of every speaker were recognized with confidence; null without a transcript.';
COMMENT ON VIEW analytics.channels IS 'One row per channel of a call.';
COMMENT ON COLUMN analytics.channels.call_id IS 'The call.';
COMMENT ON COLUMN analytics.channels.channel IS 'left, right or mixed (mono).';
COMMENT ON COLUMN analytics.channels.speaker IS 'agent, customer, or unknown in a mono recording.';
COMMENT ON COLUMN analytics.channels.duration_s IS 'Duration in seconds.';
COMMENT ON COLUMN analytics.channels.loudness_dbfs IS 'Mean level in dBFS.';
COMMENT ON COLUMN analytics.channels.speech_s IS 'Seconds of speech.';
COMMENT ON COLUMN analytics.channels.engine IS
    'Speech recognition engine; null until the channel is transcribed.';
COMMENT ON COLUMN analytics.channels.language IS 'Language of the transcript.';
COMMENT ON COLUMN analytics.channels.word_count IS 'Words in the transcript.';
COMMENT ON COLUMN analytics.channels.confidence IS
    'Mean word confidence, 0 to 1; null if the engine reports none.';
COMMENT ON COLUMN analytics.channels.is_reliable IS
    'Whether most words were recognized with confidence.';
COMMENT ON VIEW analytics.segments IS 'Transcripts: one row per segment of speech of one speaker.';
COMMENT ON COLUMN analytics.segments.call_id IS 'The call.';
COMMENT ON COLUMN analytics.segments.channel IS 'left, right or mixed.';
COMMENT ON COLUMN analytics.segments.segment_index IS 'Position in the channel, from 0.';
COMMENT ON COLUMN analytics.segments.speaker IS 'agent, customer or unknown.';
COMMENT ON COLUMN analytics.segments.start_s IS 'Seconds from the start of the call.';
COMMENT ON COLUMN analytics.segments.end_s IS 'Seconds from the start of the call.';
COMMENT ON COLUMN analytics.segments.text IS 'The transcribed text.';
COMMENT ON VIEW analytics.mentions IS
    'All possible mentions of competitors. Other views include only those with status counted.';
COMMENT ON COLUMN analytics.mentions.call_id IS 'The call.';
COMMENT ON COLUMN analytics.mentions.mention_id IS 'Id of the mention, unique within its call.';
COMMENT ON COLUMN analytics.mentions.took_place_at IS 'When the call took place.';
COMMENT ON COLUMN analytics.mentions.day IS 'Day of the call, UTC.';
COMMENT ON COLUMN analytics.mentions.agent IS 'Agent of the call; null if unknown.';
COMMENT ON COLUMN analytics.mentions.competitor IS 'The competitor, by its name in the catalog.';
COMMENT ON COLUMN analytics.mentions.alias IS 'The name or alias that matched.';
COMMENT ON COLUMN analytics.mentions.said IS 'The transcribed text.';
COMMENT ON COLUMN analytics.mentions.speaker IS 'Speaker: agent, customer or unknown.';
COMMENT ON COLUMN analytics.mentions.channel IS 'left, right or mixed.';
COMMENT ON COLUMN analytics.mentions.segment_index IS 'Segment of the mention.';
COMMENT ON COLUMN analytics.mentions.start_s IS 'Seconds from the start of the call.';
COMMENT ON COLUMN analytics.mentions.end_s IS 'Seconds from the start of the call.';
COMMENT ON COLUMN analytics.mentions.confidence IS 'Confidence of the transcribed words, 0 to 1.';
COMMENT ON COLUMN analytics.mentions.status IS
    'counted, needs_review or dismissed; an ambiguous name counts only with evidence in its context.';
COMMENT ON COLUMN analytics.mentions.reason IS
    'The rule that set the status, with the words that it matched.';
COMMENT ON VIEW analytics.sentiment IS
    'Sentiment of each counted mention towards the competitor; sentiment_status says if it is missing.';
COMMENT ON COLUMN analytics.sentiment.call_id IS 'The call.';
COMMENT ON COLUMN analytics.sentiment.mention_id IS 'Id of the mention, unique within its call.';
COMMENT ON COLUMN analytics.sentiment.took_place_at IS 'When the call took place.';
COMMENT ON COLUMN analytics.sentiment.day IS 'Day of the call, UTC.';
COMMENT ON COLUMN analytics.sentiment.agent IS 'Agent of the call; null if unknown.';
COMMENT ON COLUMN analytics.sentiment.competitor IS 'The competitor.';
COMMENT ON COLUMN analytics.sentiment.speaker IS 'Speaker: agent, customer or unknown.';
COMMENT ON COLUMN analytics.sentiment.start_s IS 'Seconds from the start of the call.';
COMMENT ON COLUMN analytics.sentiment.sentiment IS
    'positive, neutral, negative, or mixed if the evidence is contradictory; null until it is judged.';
COMMENT ON COLUMN analytics.sentiment.score IS
    'From -1 (negative) to 1 (positive); null until it is judged.';
COMMENT ON COLUMN analytics.sentiment.quote IS 'The words that the sentiment is based on.';
COMMENT ON COLUMN analytics.sentiment.rule IS 'The rule that decided.';
COMMENT ON COLUMN analytics.sentiment.engine IS 'The sentiment engine.';
COMMENT ON COLUMN analytics.sentiment.sentiment_status IS
    'judged; waiting, if it failed and is retried automatically; failed, if it is not.';
COMMENT ON COLUMN analytics.sentiment.not_judged_because IS
    'Why the sentiment is missing; null if it is not.';
COMMENT ON VIEW analytics.call_metrics IS 'Talk time, silence and overlap of each call.';
COMMENT ON COLUMN analytics.call_metrics.call_id IS 'The call.';
COMMENT ON COLUMN analytics.call_metrics.took_place_at IS 'When the call took place.';
COMMENT ON COLUMN analytics.call_metrics.day IS 'Day of the call, UTC.';
COMMENT ON COLUMN analytics.call_metrics.agent IS 'Agent of the call; null if unknown.';
COMMENT ON COLUMN analytics.call_metrics.duration_s IS 'Duration in seconds.';
COMMENT ON COLUMN analytics.call_metrics.agent_talk_s IS 'Talk time of the agent in seconds.';
COMMENT ON COLUMN analytics.call_metrics.customer_talk_s IS 'Talk time of the customer in seconds.';
COMMENT ON COLUMN analytics.call_metrics.unknown_talk_s IS
    'Talk time in a mono recording in seconds.';
COMMENT ON COLUMN analytics.call_metrics.silence_s IS 'Silence in seconds.';
COMMENT ON COLUMN analytics.call_metrics.longest_silence_s IS 'Longest silence in seconds.';
COMMENT ON COLUMN analytics.call_metrics.overlap_s IS 'Seconds in which both speak.';
COMMENT ON COLUMN analytics.call_metrics.agent_talk_share IS
    'Talk time of the agent as a part of that of both speakers, 0 to 1.';
COMMENT ON COLUMN analytics.call_metrics.silence_share IS
    'Silence as a part of the duration, 0 to 1.';
COMMENT ON COLUMN analytics.call_metrics.speech_detector IS
    'The speech detector; results of different detectors are not comparable.';
COMMENT ON VIEW analytics.competitor_daily IS 'Competitors by day, for days with a mention.';
COMMENT ON COLUMN analytics.competitor_daily.day IS 'Day of the calls, UTC.';
COMMENT ON COLUMN analytics.competitor_daily.competitor IS 'The competitor.';
COMMENT ON COLUMN analytics.competitor_daily.calls IS 'Calls with a mention.';
COMMENT ON COLUMN analytics.competitor_daily.mentions IS 'Mentions.';
COMMENT ON COLUMN analytics.competitor_daily.by_customer IS 'Mentions by customers.';
COMMENT ON COLUMN analytics.competitor_daily.by_agent IS 'Mentions by agents.';
COMMENT ON COLUMN analytics.competitor_daily.positive IS 'Positive mentions.';
COMMENT ON COLUMN analytics.competitor_daily.neutral IS 'Neutral mentions.';
COMMENT ON COLUMN analytics.competitor_daily.negative IS 'Negative mentions.';
COMMENT ON COLUMN analytics.competitor_daily.mixed IS 'Mentions with contradictory evidence.';
COMMENT ON COLUMN analytics.competitor_daily.mean_score IS
    'Mean score of the judged mentions, -1 to 1.';
COMMENT ON VIEW analytics.share_of_voice IS 'Share of each competitor in the mentions of a day.';
COMMENT ON COLUMN analytics.share_of_voice.day IS 'Day of the calls, UTC.';
COMMENT ON COLUMN analytics.share_of_voice.competitor IS 'The competitor.';
COMMENT ON COLUMN analytics.share_of_voice.mentions IS 'Mentions.';
COMMENT ON COLUMN analytics.share_of_voice.share_of_mentions IS
    'Part of all mentions of that day, 0 to 1.';
COMMENT ON COLUMN analytics.share_of_voice.calls IS 'Calls with a mention.';
COMMENT ON COLUMN analytics.share_of_voice.share_of_calls IS
    'Part of all completed calls of that day, 0 to 1.';
COMMENT ON COLUMN analytics.share_of_voice.calls_of_day IS 'Completed calls of that day.';
COMMENT ON VIEW analytics.agent_competitor IS 'Competitors by agent.';
COMMENT ON COLUMN analytics.agent_competitor.agent IS
    'The agent, from the names of the recordings.';
COMMENT ON COLUMN analytics.agent_competitor.competitor IS 'The competitor.';
COMMENT ON COLUMN analytics.agent_competitor.calls IS 'Calls of the agent with a mention.';
COMMENT ON COLUMN analytics.agent_competitor.mentions IS 'Mentions in these calls.';
COMMENT ON COLUMN analytics.agent_competitor.by_agent IS 'Mentions by the agent.';
COMMENT ON COLUMN analytics.agent_competitor.by_customer IS 'Mentions by customers.';
COMMENT ON COLUMN analytics.agent_competitor.positive IS 'Positive mentions.';
COMMENT ON COLUMN analytics.agent_competitor.negative IS 'Negative mentions.';
COMMENT ON COLUMN analytics.agent_competitor.mean_score IS 'Mean score, -1 to 1.';
COMMENT ON VIEW analytics.sentiment_trend IS 'Sentiment towards each competitor by week.';
COMMENT ON COLUMN analytics.sentiment_trend.week IS 'Monday of the week, UTC.';
COMMENT ON COLUMN analytics.sentiment_trend.competitor IS 'The competitor.';
COMMENT ON COLUMN analytics.sentiment_trend.judged IS 'Judged mentions.';
COMMENT ON COLUMN analytics.sentiment_trend.positive IS 'Positive mentions.';
COMMENT ON COLUMN analytics.sentiment_trend.negative IS 'Negative mentions.';
COMMENT ON COLUMN analytics.sentiment_trend.mean_score IS 'Mean score of the week, -1 to 1.';
COMMENT ON COLUMN analytics.sentiment_trend.change IS
    'Change of the mean score since the previous week with a mention; null for the first week.';
COMMENT ON VIEW analytics.first_mention IS 'First mention of each competitor in each call.';
COMMENT ON COLUMN analytics.first_mention.call_id IS 'The call.';
COMMENT ON COLUMN analytics.first_mention.competitor IS 'The competitor.';
COMMENT ON COLUMN analytics.first_mention.took_place_at IS 'When the call took place.';
COMMENT ON COLUMN analytics.first_mention.day IS 'Day of the call, UTC.';
COMMENT ON COLUMN analytics.first_mention.agent IS 'Agent of the call; null if unknown.';
COMMENT ON COLUMN analytics.first_mention.brought_up_by IS
    'Speaker of the first mention: agent, customer or unknown.';
COMMENT ON COLUMN analytics.first_mention.at_s IS 'Seconds from the start of the call.';
COMMENT ON COLUMN analytics.first_mention.at_share IS
    'Position as a part of the call''s duration, 0 to 1.';
COMMENT ON COLUMN analytics.first_mention.said IS 'The transcribed text.';
COMMENT ON COLUMN analytics.first_mention.sentiment IS 'Sentiment of this mention.';
COMMENT ON VIEW analytics.switching IS
    'Customers who say that they are switching to or from a competitor, by the rules of the lexicon.';
COMMENT ON COLUMN analytics.switching.call_id IS 'The call.';
COMMENT ON COLUMN analytics.switching.mention_id IS 'Id of the mention, unique within its call.';
COMMENT ON COLUMN analytics.switching.took_place_at IS 'When the call took place.';
COMMENT ON COLUMN analytics.switching.day IS 'Day of the call, UTC.';
COMMENT ON COLUMN analytics.switching.agent IS 'Agent of the call; null if unknown.';
COMMENT ON COLUMN analytics.switching.competitor IS 'The competitor.';
COMMENT ON COLUMN analytics.switching.direction IS
    'to, if they are joining the competitor; from, if they are leaving it.';
COMMENT ON COLUMN analytics.switching.speaker IS 'customer, or unknown in a mono recording.';
COMMENT ON COLUMN analytics.switching.start_s IS 'Seconds from the start of the call.';
COMMENT ON COLUMN analytics.switching.quote IS 'The words that the decision is based on.';
COMMENT ON COLUMN analytics.switching.rule IS
    'The rule that decided, with the words that it matched.';
COMMENT ON VIEW analytics.daily_calls IS
    'Calls by day, including days without calls. Computed by Dagster, and again when one of the calls changes. Kept when retention deletes the calls.';
COMMENT ON COLUMN analytics.daily_calls.day IS 'Day of the calls, UTC.';
COMMENT ON COLUMN analytics.daily_calls.calls IS
    'Calls of that day, without duplicates and erased calls.';
COMMENT ON COLUMN analytics.daily_calls.completed IS 'Completed calls.';
COMMENT ON COLUMN analytics.daily_calls.failed IS 'Failed calls.';
COMMENT ON COLUMN analytics.daily_calls.mentions IS 'Mentions of competitors.';
COMMENT ON COLUMN analytics.daily_calls.audio_h IS 'Hours of audio.';
COMMENT ON COLUMN analytics.daily_calls.agent_talk_h IS 'Talk time of agents in hours.';
COMMENT ON COLUMN analytics.daily_calls.customer_talk_h IS 'Talk time of customers in hours.';
COMMENT ON COLUMN analytics.daily_calls.silence_h IS 'Silence in hours.';
COMMENT ON COLUMN analytics.daily_calls.channel_audio_p50_s IS
    'Seconds to split a recording; median.';
COMMENT ON COLUMN analytics.daily_calls.channel_audio_p95_s IS
    'Seconds to split a recording; 95th percentile.';
COMMENT ON COLUMN analytics.daily_calls.transcripts_p50_s IS
    'Seconds to transcribe a call; median.';
COMMENT ON COLUMN analytics.daily_calls.transcripts_p95_s IS
    'Seconds to transcribe a call; 95th percentile.';
COMMENT ON COLUMN analytics.daily_calls.competitor_sentiment_p50_s IS
    'Seconds to judge the mentions of a call; median.';
COMMENT ON COLUMN analytics.daily_calls.competitor_sentiment_p95_s IS
    'Seconds to judge the mentions of a call; 95th percentile.';
COMMENT ON COLUMN analytics.daily_calls.made_at IS 'When the calls were read to compute this row.';
COMMENT ON VIEW analytics.daily_competitors IS
    'Competitors by day, for days with a mention. Computed by Dagster, and again when one of the calls changes. Kept when retention deletes the calls.';
COMMENT ON COLUMN analytics.daily_competitors.day IS 'Day of the calls, UTC.';
COMMENT ON COLUMN analytics.daily_competitors.competitor IS 'The competitor.';
COMMENT ON COLUMN analytics.daily_competitors.calls IS 'Calls with a mention.';
COMMENT ON COLUMN analytics.daily_competitors.mentions IS 'Mentions.';
COMMENT ON COLUMN analytics.daily_competitors.by_customer IS 'Mentions by customers.';
COMMENT ON COLUMN analytics.daily_competitors.by_agent IS 'Mentions by agents.';
COMMENT ON COLUMN analytics.daily_competitors.positive IS 'Positive mentions.';
COMMENT ON COLUMN analytics.daily_competitors.neutral IS 'Neutral mentions.';
COMMENT ON COLUMN analytics.daily_competitors.negative IS 'Negative mentions.';
COMMENT ON COLUMN analytics.daily_competitors.mixed IS 'Mentions with contradictory evidence.';
COMMENT ON COLUMN analytics.daily_competitors.mean_score IS
    'Mean score of the judged mentions, -1 to 1.';
COMMENT ON COLUMN analytics.daily_competitors.share_of_mentions IS
    'Part of all mentions of that day, 0 to 1.';
COMMENT ON COLUMN analytics.daily_competitors.share_of_calls IS
    'Part of all completed calls of that day, 0 to 1.';
COMMENT ON VIEW analytics.daily_agents IS
    'Competitors by agent and day. Computed by Dagster, and again when one of the calls changes. Kept when retention deletes the calls.';
COMMENT ON COLUMN analytics.daily_agents.day IS 'Day of the calls, UTC.';
COMMENT ON COLUMN analytics.daily_agents.agent IS 'The agent, from the names of the recordings.';
COMMENT ON COLUMN analytics.daily_agents.competitor IS 'The competitor.';
COMMENT ON COLUMN analytics.daily_agents.calls IS 'Calls of the agent with a mention.';
COMMENT ON COLUMN analytics.daily_agents.mentions IS 'Mentions in these calls.';
COMMENT ON COLUMN analytics.daily_agents.by_agent IS 'Mentions by the agent.';
COMMENT ON COLUMN analytics.daily_agents.by_customer IS 'Mentions by customers.';
COMMENT ON COLUMN analytics.daily_agents.positive IS 'Positive mentions.';
COMMENT ON COLUMN analytics.daily_agents.negative IS 'Negative mentions.';
COMMENT ON COLUMN analytics.daily_agents.mean_score IS 'Mean score, -1 to 1.';
