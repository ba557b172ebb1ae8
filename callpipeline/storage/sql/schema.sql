-- The whole schema on one page, as the migrations leave it (a test compares the two).
-- Dagster's own tables live in schema `public` of the same database.

CREATE TABLE catalog_versions (
    version     text PRIMARY KEY,
    content     jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE catalog_versions IS 'Each competitor list that calls were judged by.';

-- The ledger: one row per recording. State changes are compare-and-set on state and claimed_by.
CREATE TABLE calls (
    call_id          text PRIMARY KEY CHECK (call_id ~ '^\d{4}-\d\d-\d\d-[0-9a-f]{12}$'),
    bucket           text NOT NULL,
    key              text NOT NULL,
    etag             text NOT NULL,
    size_bytes       bigint NOT NULL,
    last_modified    timestamptz NOT NULL,
    sha256           text,
    agent_channel    text NOT NULL DEFAULT 'left' CHECK (agent_channel IN ('left', 'right')),
    metadata         jsonb NOT NULL DEFAULT '{}',
    started_at       timestamptz,
    duplicates       text NOT NULL DEFAULT 'link'
                     CHECK (duplicates IN ('link', 'process', 'refuse')),
    duplicate_of     text REFERENCES calls ON DELETE SET NULL,
    lane             text NOT NULL DEFAULT 'live' CHECK (lane IN ('live', 'bulk')),
    priority         smallint NOT NULL DEFAULT 0,
    state            text NOT NULL DEFAULT 'PENDING',
    batch_id         text,
    batched_at       timestamptz,
    fruitless        integer NOT NULL DEFAULT 0,
    given_back       integer NOT NULL DEFAULT 0,
    claimed_by       text,
    attempts         integer NOT NULL DEFAULT 0,
    retries          integer NOT NULL DEFAULT 0,
    not_before       timestamptz,
    error_stage      text,
    error_class      text,
    error_message    text,
    error_transient  boolean,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    completed_at     timestamptz,
    first_ended_at   timestamptz,
    away_since       timestamptz,
    away_from        text,
    UNIQUE (bucket, key, etag),
    CONSTRAINT calls_state_check CHECK (state IN
        ('PENDING', 'PROCESSING', 'COMPLETED', 'FAILED', 'DUPLICATE', 'ERASED')),
    CHECK ((state = 'PROCESSING') = (claimed_by IS NOT NULL)),
    CONSTRAINT calls_failed_with_reason CHECK (state <> 'FAILED' OR error_message IS NOT NULL),
    CONSTRAINT calls_done_without_error
        CHECK (error_message IS NULL OR state IN ('FAILED', 'PENDING')),
    CONSTRAINT calls_duplicate_names_first CHECK (state = 'DUPLICATE' OR duplicate_of IS NULL)
);
CREATE INDEX calls_by_state ON calls (state, updated_at);
CREATE INDEX calls_by_age ON calls (created_at DESC, key DESC);
CREATE INDEX calls_waiting ON calls (lane, priority DESC, created_at, call_id)
    WHERE state = 'PENDING' AND batch_id IS NULL;
CREATE INDEX calls_in_batches ON calls (batch_id) WHERE state = 'PENDING' AND batch_id IS NOT NULL;
CREATE INDEX calls_held ON calls (claimed_by) WHERE claimed_by IS NOT NULL;
CREATE INDEX calls_by_first ON calls (duplicate_of) WHERE duplicate_of IS NOT NULL;
-- What was erased is known again by its id's hash of bucket, key and etag.
CREATE INDEX calls_erased ON calls (right(call_id, 12)) WHERE state = 'ERASED';
CREATE INDEX calls_by_content ON calls (sha256) WHERE sha256 IS NOT NULL;
-- By the name of the file, and by what it shares with a transcript beside it.
CREATE INDEX calls_by_file_name ON calls (regexp_replace(key, '^.*/', ''));
CREATE INDEX calls_by_stem ON calls (regexp_replace(key, '\.[^./]*$', ''));
CREATE INDEX calls_away ON calls (away_since) WHERE away_since IS NOT NULL;
CREATE INDEX calls_away_from ON calls (away_from) WHERE away_from IS NOT NULL;
CREATE INDEX calls_by_end ON calls (first_ended_at) WHERE first_ended_at IS NOT NULL;
-- The calls of a day: exactly the expression of `day` in the views, or it would not be used.
CREATE INDEX calls_by_day
    ON calls (((coalesce(started_at, last_modified) AT TIME ZONE 'UTC')::date));
COMMENT ON COLUMN calls.started_at IS 'When the call took place; null where nothing tells.';
COMMENT ON COLUMN calls.metadata IS
    'What the recording''s name tells, by the pattern of its source: agent, customer, direction, …';
COMMENT ON COLUMN calls.duplicate_of IS 'The call that was made of the same bytes before.';
COMMENT ON COLUMN calls.fruitless IS
    'Runs in a row that ended before the call did, through no fault of the call.';
COMMENT ON COLUMN calls.given_back IS
    'Of these in a row, those that had taken the call and gave it back.';
COMMENT ON COLUMN calls.attempts IS
    'Runs that began to work on the call and have not ended in order since.';
COMMENT ON COLUMN calls.retries IS 'Tries that ended in an error which another try may cure.';
COMMENT ON COLUMN calls.first_ended_at IS
    'When the call was completed, or failed, for the first time.';
COMMENT ON COLUMN calls.away_since IS
    'Since when the call waits for a service that is away; null where it does not.';
COMMENT ON COLUMN calls.away_from IS
    'The service for which the call waits, as table outages names it; null where for none.';
COMMENT ON COLUMN calls.not_before IS 'A waiting call is not asked for before this time.';

-- No CHECK on url: Postgres would write it into its log when one fails.
CREATE TABLE announced (
    call_id       text PRIMARY KEY REFERENCES calls ON DELETE CASCADE,
    identity      text NOT NULL,
    url           text,
    announced_at  timestamptz NOT NULL DEFAULT now(),
    fetched_at    timestamptz
);
CREATE INDEX announced_by_identity ON announced (identity);
CREATE INDEX announced_with_url ON announced (announced_at) WHERE url IS NOT NULL;
COMMENT ON TABLE announced IS 'Calls whose recording was announced by an address.';
COMMENT ON COLUMN announced.identity IS
    'A hash of the address and of the key that was sent with it: what is announced twice.';
COMMENT ON COLUMN announced.url IS
    'The address, which may be signed and so a secret; null as soon as the recording is kept.';

-- Whose bytes these are: the one call that was made of them first.
CREATE TABLE contents (
    sha256   text PRIMARY KEY,
    call_id  text NOT NULL REFERENCES calls ON DELETE CASCADE
);
CREATE INDEX contents_by_call ON contents (call_id);

CREATE TABLE outages (
    service   text PRIMARY KEY,
    reason    text NOT NULL,
    tries     integer NOT NULL DEFAULT 0,
    since     timestamptz NOT NULL DEFAULT now(),
    again_at  timestamptz NOT NULL,
    asked_at  timestamptz
);
COMMENT ON TABLE outages IS 'Services that answer nobody. One request tries at again_at.';
COMMENT ON COLUMN outages.asked_at IS
    'When a run was asked for a call that is to try the service; null when it has been tried since.';

-- Runs that hold calls. One that gives no sign of life is taken to be dead.
CREATE TABLE runs (
    run_id    text PRIMARY KEY,
    began_at  timestamptz NOT NULL DEFAULT now(),
    alive_at  timestamptz NOT NULL DEFAULT now()
);

-- Which stage of which call is stored, since when, by which run. Written with the results.
CREATE TABLE call_stages (
    call_id          text NOT NULL REFERENCES calls ON DELETE CASCADE,
    stage            text NOT NULL,
    run_id           text NOT NULL,
    engine           text,
    catalog_version  text REFERENCES catalog_versions,
    took_s           double precision NOT NULL,
    stored_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (call_id, stage)
);
CREATE INDEX call_stages_by_catalog ON call_stages (catalog_version, stage);
CREATE INDEX call_stages_by_run ON call_stages (run_id);
CREATE INDEX call_stages_by_time ON call_stages (stage, stored_at);

CREATE TABLE recordings (
    call_id              text PRIMARY KEY REFERENCES calls ON DELETE CASCADE,
    container            text NOT NULL,
    codec                text NOT NULL,
    sample_rate_hz       integer NOT NULL,
    channel_count        integer NOT NULL,
    duration_s           double precision NOT NULL,
    declared_duration_s  double precision,
    bad_packets          integer NOT NULL,
    flags                jsonb NOT NULL
);
COMMENT ON COLUMN recordings.flags IS
    'What is wrong with the recording: [{flag, detail, channel}].';

CREATE TABLE channels (
    call_id         text NOT NULL REFERENCES calls ON DELETE CASCADE,
    channel         text NOT NULL CHECK (channel IN ('left', 'right', 'mixed')),
    speaker         text NOT NULL CHECK (speaker IN ('agent', 'customer', 'unknown')),
    object_key      text NOT NULL,
    sample_rate_hz  integer NOT NULL,
    duration_s      double precision NOT NULL,
    rms_dbfs        double precision NOT NULL,
    size_bytes      bigint NOT NULL,
    sha256          text NOT NULL,
    speech          jsonb NOT NULL,
    PRIMARY KEY (call_id, channel)
);
COMMENT ON COLUMN channels.speech IS 'Where somebody speaks: [[start_s, end_s], …].';

CREATE TABLE call_metrics (
    call_id            text PRIMARY KEY REFERENCES calls ON DELETE CASCADE,
    duration_s         double precision NOT NULL,
    agent_talk_s       double precision NOT NULL,
    customer_talk_s    double precision NOT NULL,
    unknown_talk_s     double precision NOT NULL,
    silence_s          double precision NOT NULL,
    longest_silence_s  double precision NOT NULL,
    overlap_s          double precision NOT NULL,
    speech_detector    text NOT NULL
);

CREATE TABLE transcripts (
    call_id     text NOT NULL REFERENCES calls ON DELETE CASCADE,
    channel     text NOT NULL CHECK (channel IN ('left', 'right', 'mixed')),
    speaker     text NOT NULL CHECK (speaker IN ('agent', 'customer', 'unknown')),
    engine      text NOT NULL,
    language    text NOT NULL,
    word_count  integer NOT NULL,
    confidence  double precision,
    reliable    boolean NOT NULL,
    object_key  text NOT NULL,
    PRIMARY KEY (call_id, channel)
);
COMMENT ON COLUMN transcripts.confidence IS
    'Mean word confidence 0..1; null where the engine gives none.';

CREATE TABLE segments (
    call_id        text NOT NULL,
    channel        text NOT NULL,
    segment_index  integer NOT NULL,
    speaker        text NOT NULL,
    start_s        double precision NOT NULL,
    end_s          double precision NOT NULL,
    text           text NOT NULL,
    lexemes        tsvector GENERATED ALWAYS AS (to_tsvector('english', text)) STORED,
    PRIMARY KEY (call_id, channel, segment_index),
    FOREIGN KEY (call_id, channel) REFERENCES transcripts ON DELETE CASCADE
);
CREATE INDEX segments_by_words ON segments USING gin (lexemes);

CREATE TABLE mentions (
    call_id        text NOT NULL REFERENCES calls ON DELETE CASCADE,
    mention_id     text NOT NULL,
    competitor     text NOT NULL,
    alias          text NOT NULL,
    said           text NOT NULL,
    channel        text NOT NULL,
    speaker        text NOT NULL,
    segment_index  integer NOT NULL,
    char_start     integer NOT NULL,
    char_end       integer NOT NULL,
    start_s        double precision NOT NULL,
    end_s          double precision NOT NULL,
    confidence     double precision,
    status         text NOT NULL CHECK (status IN ('accepted', 'unsure', 'rejected')),
    reason         text NOT NULL,
    found_status   text,
    found_reason   text,
    PRIMARY KEY (call_id, mention_id)
);
CREATE INDEX mentions_by_competitor ON mentions (competitor, status);
CREATE INDEX mentions_unsure ON mentions (competitor, call_id) WHERE status = 'unsure';
COMMENT ON COLUMN mentions.reason IS 'The rule that set the status, with the words it saw.';
COMMENT ON COLUMN mentions.found_status IS
    'What the rules say, where a person decided otherwise or the same; else null.';
COMMENT ON COLUMN mentions.found_reason IS 'The rule that said so.';

-- What people decided about mentions. The last decision of a mention holds; none is changed.
CREATE TABLE reviews (
    review_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    call_id     text NOT NULL REFERENCES calls ON DELETE CASCADE,
    mention_id  text NOT NULL,
    start_s     double precision NOT NULL,
    decision    text NOT NULL CHECK (decision IN ('accepted', 'refused', 'left')),
    decided_by  text,
    decided_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    undoes      bigint REFERENCES reviews ON DELETE CASCADE
);
CREATE INDEX reviews_by_mention ON reviews (call_id, mention_id, review_id DESC);
COMMENT ON TABLE reviews IS
    'What people decided about mentions, each decision; the last one of a mention holds.';
COMMENT ON COLUMN reviews.mention_id IS
    'Of no foreign key: a mention that is not found any more may be found again.';
COMMENT ON COLUMN reviews.start_s IS
    'Where it was said: in another transcript the same id may be another word.';
COMMENT ON COLUMN reviews.decision IS
    'accepted, refused, or left to the rules, as before anybody decided.';
COMMENT ON COLUMN reviews.undoes IS 'The decision that this one takes back.';

CREATE TABLE sentiment (
    call_id     text NOT NULL,
    mention_id  text NOT NULL,
    competitor  text NOT NULL,
    sentiment   text NOT NULL CHECK (sentiment IN ('positive', 'neutral', 'negative', 'unsure')),
    score       double precision NOT NULL CHECK (score BETWEEN -1 AND 1),
    rule        text NOT NULL,
    quote       text NOT NULL,
    engine      text NOT NULL,
    PRIMARY KEY (call_id, mention_id),
    FOREIGN KEY (call_id, mention_id) REFERENCES mentions ON DELETE CASCADE
);

-- Mentions of complete calls of which nothing is known yet: why, and when they are tried again.
CREATE TABLE unjudged (
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
    away_from    text,
    away_since   timestamptz,
    PRIMARY KEY (call_id, mention_id),
    FOREIGN KEY (call_id, mention_id) REFERENCES mentions ON DELETE CASCADE
);
CREATE INDEX unjudged_due ON unjudged (not_before) WHERE not_before IS NOT NULL;
COMMENT ON COLUMN unjudged.tries IS 'Tries so far; from the beginning when a person asks.';
COMMENT ON COLUMN unjudged.not_before IS
    'Not tried again before; null where it is not tried by itself any more.';
COMMENT ON COLUMN unjudged.away_from IS
    'The service for which the mention waits, without losing a try; null where for none.';
COMMENT ON COLUMN unjudged.asked_by IS
    'The run that took it last; null again when another run takes the whole call.';

-- Where looking for new recordings stands, by source; a row that is lost costs a look from the
-- beginning.
CREATE TABLE discovery (
    source      text PRIMARY KEY,
    token       text NOT NULL,
    position    text NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN discovery.token IS 'What the sensor has for a cursor, while the position holds.';
COMMENT ON COLUMN discovery.position IS
    'JSON, with keys of objects in it; as text, since jsonb refuses some of their characters.';

-- What belongs together, and is told at most once in ten minutes: an outage, a fault that repeats.
CREATE TABLE incidents (
    incident_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    group_key      text NOT NULL,
    kind           text NOT NULL,
    stage          text,
    recovers       boolean NOT NULL,
    opened_at      timestamptz NOT NULL,
    last_event_at  timestamptz NOT NULL,
    cleared_at     timestamptz,
    closed_at      timestamptz
);
CREATE UNIQUE INDEX incidents_open ON incidents (group_key) WHERE closed_at IS NULL;
CREATE INDEX incidents_by_group ON incidents (group_key, opened_at);
COMMENT ON COLUMN incidents.recovers IS 'Whether people are told when it is over.';
COMMENT ON COLUMN incidents.cleared_at IS 'When what was wrong was seen to be well again.';

-- The outbox: each event that people may want to know of, written with what makes it true.
CREATE TABLE outbox (
    event_id       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind           text NOT NULL,
    severity       text NOT NULL CHECK (severity IN ('info', 'warning', 'error', 'critical')),
    group_key      text NOT NULL,
    subject        text UNIQUE,
    recovers       boolean NOT NULL DEFAULT false,
    title          text NOT NULL DEFAULT '',
    message        text NOT NULL DEFAULT '',
    call_id        text REFERENCES calls ON DELETE CASCADE,
    run_id         text,
    stage          text,
    error_class    text,
    error_message  text,
    metadata       jsonb NOT NULL DEFAULT '{}',
    channels       text[],
    occurred_at    timestamptz NOT NULL DEFAULT now(),
    incident_id    bigint REFERENCES incidents,
    untold         text[] NOT NULL DEFAULT '{}'
);
CREATE INDEX outbox_new ON outbox (occurred_at) WHERE incident_id IS NULL;
CREATE INDEX outbox_untold ON outbox (incident_id) WHERE untold <> '{}';
CREATE INDEX outbox_by_incident ON outbox (incident_id);
CREATE INDEX outbox_by_group ON outbox (group_key, kind);
CREATE INDEX outbox_by_call ON outbox (call_id) WHERE call_id IS NOT NULL;
COMMENT ON COLUMN outbox.subject IS 'What happened, where it must not be told twice.';
COMMENT ON COLUMN outbox.channels IS 'The channels that were asked for; null leaves it to the rules.';
COMMENT ON COLUMN outbox.incident_id IS 'Null until the dispatcher has seen the event.';
COMMENT ON COLUMN outbox.untold IS 'The channels that no notification tells of it yet.';

-- Messages: one to one channel, of one or many events. Their id is the same at every try.
CREATE TABLE notifications (
    notification_id  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    number           bigint GENERATED ALWAYS AS IDENTITY,
    incident_id      bigint NOT NULL REFERENCES incidents,
    channel          text NOT NULL,
    part             text NOT NULL CHECK (part IN ('opening', 'update', 'recovery')),
    state            text NOT NULL DEFAULT 'PENDING'
                     CHECK (state IN ('PENDING', 'DELIVERED', 'GAVE_UP')),
    created_at       timestamptz NOT NULL,
    not_before       timestamptz NOT NULL,
    leased_until     timestamptz,
    attempts         integer NOT NULL DEFAULT 0,
    attempts_before  integer NOT NULL DEFAULT 0,
    asked_until      timestamptz,
    hurried          boolean NOT NULL DEFAULT false,
    delivered_at     timestamptz,
    receipt          text,
    CHECK ((state = 'DELIVERED') = (delivered_at IS NOT NULL))
);
CREATE INDEX notifications_due ON notifications (channel, not_before) WHERE state = 'PENDING';
CREATE INDEX notifications_in_turn ON notifications (incident_id, channel, number)
    WHERE state = 'PENDING';
CREATE INDEX notifications_by_incident ON notifications (incident_id, channel, number);
CREATE INDEX notifications_by_number ON notifications (number);
COMMENT ON COLUMN notifications.leased_until IS
    'Until then whoever took it delivers it; later another one may, since that one died.';
COMMENT ON COLUMN notifications.attempts_before IS
    'Of the attempts those before a person asked for it again: its waits began anew then.';
COMMENT ON COLUMN notifications.asked_until IS 'The receiver wants to be left alone until then.';
COMMENT ON COLUMN notifications.hurried IS
    'Whether its wait was cut short once, since others arrived: then it is refused for its own sake.';
COMMENT ON COLUMN notifications.receipt IS 'The receiver''s own name of the message, for threads.';

-- Which message tells which event: each event once to each channel.
CREATE TABLE notification_events (
    event_id         uuid NOT NULL REFERENCES outbox ON DELETE CASCADE,
    channel          text NOT NULL,
    notification_id  uuid NOT NULL REFERENCES notifications ON DELETE CASCADE,
    PRIMARY KEY (event_id, channel)
);
CREATE INDEX notification_events_by_notification ON notification_events (notification_id);

-- Each try to deliver a message, with the receiver's answer.
CREATE TABLE deliveries (
    notification_id  uuid NOT NULL REFERENCES notifications ON DELETE CASCADE,
    attempt          integer NOT NULL,
    at               timestamptz NOT NULL,
    took_s           double precision NOT NULL,
    accepted         boolean NOT NULL,
    code             text NOT NULL,
    answer           text NOT NULL,
    PRIMARY KEY (notification_id, attempt)
);

-- Receivers that answered that they want nothing any more.
CREATE TABLE receivers_off (
    channel  text PRIMARY KEY,
    address  text NOT NULL,
    since    timestamptz NOT NULL,
    answer   text NOT NULL
);
COMMENT ON COLUMN receivers_off.address IS 'A hash of its address: another address is not off.';

-- Whatever lets a call end FAILED tells of it: no statement can forget to.
CREATE FUNCTION tell_failed_call() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$
BEGIN
    INSERT INTO outbox (kind, severity, group_key, recovers, call_id, run_id, stage, error_class,
                        error_message)
    VALUES ('call_failed', 'error',
            concat_ws(':', 'call_failed', NEW.error_stage, NEW.error_class),
            coalesce(NEW.error_transient, false), NEW.call_id, OLD.claimed_by, NEW.error_stage,
            NEW.error_class, NEW.error_message);
    RETURN NULL;
END
$$;
CREATE TRIGGER tell_failed_call AFTER UPDATE OF state ON calls FOR EACH ROW
    WHEN (NEW.state = 'FAILED' AND OLD.state <> 'FAILED')
    EXECUTE FUNCTION tell_failed_call();

-- Calls that were erased, or are being erased. The ledger's row is a tombstone from the beginning;
-- bucket and key are kept here until the objects are gone.
CREATE TABLE erasures (
    call_id         text PRIMARY KEY REFERENCES calls ON DELETE CASCADE,
    asked_at        timestamptz NOT NULL DEFAULT now(),
    because         text NOT NULL DEFAULT '',
    by_retention    boolean NOT NULL DEFAULT false,
    keep_recording  boolean NOT NULL,
    bucket          text,
    key             text,
    etag            text,
    is_unread       boolean NOT NULL DEFAULT false,
    run_id          text,
    looked_at       timestamptz,
    trouble         text,
    verified_at     timestamptz
);
CREATE INDEX erasures_open ON erasures (asked_at) WHERE verified_at IS NULL;
COMMENT ON COLUMN erasures.because IS 'Why, as whoever asked for it wrote.';
COMMENT ON COLUMN erasures.keep_recording IS
    'Whether the recording itself stays where it arrived; it does not come in again.';
COMMENT ON COLUMN erasures.is_unread IS
    'Whether its bytes are to be read before they go, to be known again.';
COMMENT ON COLUMN erasures.run_id IS 'The run that was at work on the call.';
COMMENT ON COLUMN erasures.trouble IS 'What keeps it from being finished; it is tried again.';
COMMENT ON COLUMN erasures.verified_at IS
    'When nothing of the call was found any more, some minutes after it was erased.';

-- Everything that was deleted on purpose, and why. Without a call: of many, or of none.
CREATE TABLE deletions (
    deletion_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at           timestamptz NOT NULL DEFAULT now(),
    what         text NOT NULL,
    why          text NOT NULL CHECK (why IN ('erasure', 'retention')),
    call_id      text,
    items        bigint NOT NULL,
    older_than   timestamptz
);
CREATE INDEX deletions_by_time ON deletions (at);
CREATE INDEX deletions_by_call ON deletions (call_id, what) WHERE call_id IS NOT NULL;
COMMENT ON COLUMN deletions.what IS
    'recording, channel_audio, transcripts, call, notifications; of Dagster partition_keys, runs, events, ticks, backfills.';

-- Stages whose results are there: those that retention deleted are not, until they are made anew.
CREATE VIEW stored_stages AS
SELECT s.call_id, s.stage, s.stored_at FROM call_stages s
WHERE NOT EXISTS (SELECT FROM deletions d
                  WHERE d.call_id = s.call_id AND d.what = s.stage AND d.at >= s.stored_at);

-- What Dagster counts by day; schema `analytics` shows it. It stays when the calls are deleted.
CREATE TABLE daily_calls (
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
COMMENT ON TABLE daily_calls IS 'One row a day, also where no call took place.';
COMMENT ON COLUMN daily_calls.day IS 'The day of the calls, by UTC.';
COMMENT ON COLUMN daily_calls.calls IS 'Calls of that day, without duplicates and erased ones.';
COMMENT ON COLUMN daily_calls.completed IS 'Of these completed.';
COMMENT ON COLUMN daily_calls.failed IS 'Of these failed.';
COMMENT ON COLUMN daily_calls.mentions IS 'How often competitors were named.';
COMMENT ON COLUMN daily_calls.audio_h IS 'Hours of recordings.';
COMMENT ON COLUMN daily_calls.agent_talk_h IS 'Hours in which agents speak.';
COMMENT ON COLUMN daily_calls.customer_talk_h IS 'Hours in which customers speak.';
COMMENT ON COLUMN daily_calls.silence_h IS 'Hours in which nobody speaks.';
COMMENT ON COLUMN daily_calls.channel_audio_p50_s IS
    'Seconds of work that a recording took to be taken apart; the median.';
COMMENT ON COLUMN daily_calls.channel_audio_p95_s IS 'The same; 95 of 100 took no longer.';
COMMENT ON COLUMN daily_calls.transcripts_p50_s IS
    'Seconds of work that a call took to be transcribed; the median.';
COMMENT ON COLUMN daily_calls.transcripts_p95_s IS 'The same; 95 of 100 took no longer.';
COMMENT ON COLUMN daily_calls.competitor_sentiment_p50_s IS
    'Seconds of work that the mentions of a call took to be judged; the median.';
COMMENT ON COLUMN daily_calls.competitor_sentiment_p95_s IS 'The same; 95 of 100 took no longer.';
COMMENT ON COLUMN daily_calls.made_at IS 'When the calls were read of which the day was counted.';

CREATE TABLE daily_competitors (
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
COMMENT ON TABLE daily_competitors IS 'Each competitor on each day on which it was named.';
COMMENT ON COLUMN daily_competitors.day IS 'The day of the calls, by UTC.';
COMMENT ON COLUMN daily_competitors.competitor IS 'The competitor.';
COMMENT ON COLUMN daily_competitors.calls IS 'Calls in which it was named.';
COMMENT ON COLUMN daily_competitors.mentions IS 'How often it was named.';
COMMENT ON COLUMN daily_competitors.by_customer IS 'Of these by customers.';
COMMENT ON COLUMN daily_competitors.by_agent IS 'Of these by agents.';
COMMENT ON COLUMN daily_competitors.positive IS 'Mentions that speak well of it.';
COMMENT ON COLUMN daily_competitors.neutral IS 'Mentions that only name it.';
COMMENT ON COLUMN daily_competitors.negative IS 'Mentions that speak badly of it.';
COMMENT ON COLUMN daily_competitors.unsure IS 'Mentions whose evidence contradicts itself.';
COMMENT ON COLUMN daily_competitors.mean_score IS 'Mean score of the judged mentions, -1 to 1.';
COMMENT ON COLUMN daily_competitors.share_of_mentions IS
    'Of all mentions of competitors on that day, 0 to 1.';
COMMENT ON COLUMN daily_competitors.share_of_calls IS 'Of all completed calls of that day, 0 to 1.';

CREATE TABLE daily_agents (
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
COMMENT ON TABLE daily_agents IS 'Which competitors come up in whose calls, by day.';
COMMENT ON COLUMN daily_agents.day IS 'The day of the calls, by UTC.';
COMMENT ON COLUMN daily_agents.agent IS 'The agent, as the recordings'' names tell.';
COMMENT ON COLUMN daily_agents.competitor IS 'The competitor.';
COMMENT ON COLUMN daily_agents.calls IS 'Calls of the agent in which it was named.';
COMMENT ON COLUMN daily_agents.mentions IS 'How often it was named in them.';
COMMENT ON COLUMN daily_agents.by_agent IS 'Of these by the agent.';
COMMENT ON COLUMN daily_agents.by_customer IS 'Of these by the customers.';
COMMENT ON COLUMN daily_agents.positive IS 'Mentions that speak well of it.';
COMMENT ON COLUMN daily_agents.negative IS 'Mentions that speak badly of it.';
COMMENT ON COLUMN daily_agents.mean_score IS 'Mean score, -1 to 1.';

-- Requests that may be sent again with the same Idempotency-Key, and what was answered.
CREATE TABLE idempotent_requests (
    key_hash     text PRIMARY KEY,
    fingerprint  text NOT NULL,
    holder       text NOT NULL,
    held_until   timestamptz NOT NULL,
    answer       jsonb,
    begun_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idempotent_requests_by_age ON idempotent_requests (begun_at);
COMMENT ON TABLE idempotent_requests IS
    'Requests that may be sent again with the same Idempotency-Key, for two days.';
COMMENT ON COLUMN idempotent_requests.key_hash IS 'SHA-256 of who asks, for what, and the key.';
COMMENT ON COLUMN idempotent_requests.fingerprint IS 'SHA-256 of what was asked.';
COMMENT ON COLUMN idempotent_requests.holder IS
    'Who works on it; until held_until nobody else does, unless it is answered.';
COMMENT ON COLUMN idempotent_requests.answer IS 'What was answered; null while it is worked on.';

-- What is kept for a time is kept from the first end on: to judge calls anew is no reason to keep
-- them longer.
CREATE FUNCTION note_first_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.first_ended_at := NEW.completed_at;
    RETURN NEW;
END
$$;
CREATE TRIGGER note_first_end BEFORE UPDATE OF completed_at ON calls FOR EACH ROW
    WHEN (NEW.completed_at IS NOT NULL AND OLD.first_ended_at IS NULL)
    EXECUTE FUNCTION note_first_end();

-- Keys of programs. Of a secret only its digest is kept; a revoked key stays, as a record.
CREATE TABLE api_keys (
    key_id         text PRIMARY KEY CHECK (key_id ~ '^[a-z2-7]{12}$'),
    name           text NOT NULL CHECK (name <> ''),
    secret_sha256  bytea NOT NULL CHECK (octet_length(secret_sha256) = 32),
    scopes         text[] NOT NULL
                   CHECK (scopes <@ ARRAY['upload', 'read', 'admin'] AND cardinality(scopes) > 0),
    created_at     timestamptz NOT NULL DEFAULT now(),
    created_by     text NOT NULL,
    expires_at     timestamptz,
    last_used_at   timestamptz,
    revoked_at     timestamptz,
    revoked_by     text
);
COMMENT ON COLUMN api_keys.last_used_at IS 'To a minute or so.';
COMMENT ON COLUMN api_keys.created_by IS 'Who ran the command, and on which machine.';

-- Logins of the web app. Of a cookie only its digest is kept.
CREATE TABLE web_sessions (
    session_sha256  bytea PRIMARY KEY CHECK (octet_length(session_sha256) = 32),
    user_name       text NOT NULL,
    password_mark   bytea NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    seen_at         timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz NOT NULL
);
CREATE INDEX web_sessions_by_end ON web_sessions (expires_at);
COMMENT ON COLUMN web_sessions.password_mark IS
    'Of the password that was set at the login, by the cookie: another password ends it.';
COMMENT ON COLUMN web_sessions.seen_at IS 'To a minute or so.';

-- What the pages read, narrow and without joins; kept by triggers, in the transaction of the change.
CREATE TABLE reading_calls (
    call_id        text PRIMARY KEY REFERENCES calls ON DELETE CASCADE,
    state          text NOT NULL,
    created_at     timestamptz NOT NULL,
    took_place_at  timestamptz NOT NULL,
    day            date NOT NULL,
    agent          text NOT NULL,
    agent_name     text,
    source         text NOT NULL,
    name           text NOT NULL,
    duration_s     double precision
) WITH (fillfactor = 85);
COMMENT ON TABLE reading_calls IS
    'What lists and numbers ask of calls; follows calls and recordings by triggers.';
COMMENT ON COLUMN reading_calls.agent IS 'In small letters; empty where nobody knows.';
COMMENT ON COLUMN reading_calls.agent_name IS 'The same as it is written.';
COMMENT ON COLUMN reading_calls.name IS 'The recording''s key, in small letters.';

CREATE TABLE reading_mentions (
    call_id     text NOT NULL,
    mention_id  text NOT NULL,
    day         date NOT NULL,
    agent       text NOT NULL,
    source      text NOT NULL,
    competitor  text NOT NULL,
    speaker     text NOT NULL,
    stance      text NOT NULL,
    score       double precision,
    PRIMARY KEY (call_id, mention_id),
    FOREIGN KEY (call_id, mention_id) REFERENCES mentions ON DELETE CASCADE
);
COMMENT ON TABLE reading_mentions IS
    'What numbers ask of the mentions that count; follows mentions, sentiment and calls by triggers.';
COMMENT ON COLUMN reading_mentions.stance IS 'Its sentiment, or unjudged.';

CREATE FUNCTION read_call_mentions(which text, mention text DEFAULT NULL)
RETURNS void LANGUAGE sql SET search_path = callpipeline AS $$
    INSERT INTO reading_mentions
    SELECT m.call_id, m.mention_id, c.day, c.agent, c.source, m.competitor, m.speaker,
           coalesce(s.sentiment, 'unjudged'), s.score
    FROM mentions m JOIN reading_calls c USING (call_id)
    LEFT JOIN sentiment s USING (call_id, mention_id)
    WHERE m.call_id = which AND (mention IS NULL OR m.mention_id = mention)
      AND m.status = 'accepted' AND c.state NOT IN ('DUPLICATE', 'ERASED')
$$;

CREATE FUNCTION read_call() RETURNS trigger LANGUAGE plpgsql
SET search_path = callpipeline AS $$
DECLARE
    at timestamptz := coalesce(NEW.started_at, NEW.last_modified);
    before reading_calls;
    after reading_calls;
BEGIN
    SELECT * INTO before FROM reading_calls WHERE call_id = NEW.call_id;
    INSERT INTO reading_calls VALUES (
        NEW.call_id, NEW.state, NEW.created_at, at, (at AT TIME ZONE 'UTC')::date,
        lower(coalesce(NEW.metadata ->> 'agent', '')), NEW.metadata ->> 'agent', NEW.bucket,
        lower(NEW.key))
    ON CONFLICT (call_id) DO UPDATE SET
        state = excluded.state, created_at = excluded.created_at,
        took_place_at = excluded.took_place_at, day = excluded.day, agent = excluded.agent,
        agent_name = excluded.agent_name, source = excluded.source, name = excluded.name
    RETURNING * INTO after;
    IF before.call_id IS NOT NULL
       AND (before.day, before.agent, before.source, before.state IN ('DUPLICATE', 'ERASED'))
           <> (after.day, after.agent, after.source, after.state IN ('DUPLICATE', 'ERASED')) THEN
        DELETE FROM reading_mentions WHERE call_id = NEW.call_id;
        PERFORM read_call_mentions(NEW.call_id);
    END IF;
    RETURN NULL;
END
$$;
CREATE FUNCTION read_recording() RETURNS trigger LANGUAGE plpgsql
SET search_path = callpipeline AS $$
BEGIN
    UPDATE reading_calls SET duration_s = CASE WHEN TG_OP <> 'DELETE' THEN NEW.duration_s END
    WHERE call_id = coalesce(NEW.call_id, OLD.call_id);
    RETURN NULL;
END
$$;
CREATE FUNCTION read_mention() RETURNS trigger LANGUAGE plpgsql
SET search_path = callpipeline AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        DELETE FROM reading_mentions
        WHERE call_id = OLD.call_id AND mention_id = OLD.mention_id;
    END IF;
    PERFORM read_call_mentions(NEW.call_id, NEW.mention_id);
    RETURN NULL;
END
$$;
CREATE FUNCTION read_sentiment() RETURNS trigger LANGUAGE plpgsql
SET search_path = callpipeline AS $$
BEGIN
    UPDATE reading_mentions
    SET stance = CASE WHEN TG_OP = 'DELETE' THEN 'unjudged' ELSE NEW.sentiment END,
        score = CASE WHEN TG_OP <> 'DELETE' THEN NEW.score END
    WHERE call_id = coalesce(NEW.call_id, OLD.call_id)
      AND mention_id = coalesce(NEW.mention_id, OLD.mention_id);
    RETURN NULL;
END
$$;

CREATE INDEX reading_calls_by_age ON reading_calls (created_at DESC, call_id DESC);
CREATE INDEX reading_calls_by_time
    ON reading_calls (took_place_at DESC, call_id DESC);
-- Groups come in order and with all that is asked, so distinct calls are counted without sorting.
CREATE INDEX reading_mentions_by_competitor ON reading_mentions (competitor, call_id)
    INCLUDE (day, agent, source, speaker, stance, score);
CREATE INDEX reading_mentions_by_agent ON reading_mentions (agent, call_id)
    INCLUDE (day, competitor, source, speaker, stance, score);

CREATE TRIGGER read_call AFTER INSERT OR UPDATE OF
    state, created_at, started_at, last_modified, metadata, bucket, key
    ON calls FOR EACH ROW EXECUTE FUNCTION read_call();
CREATE TRIGGER read_recording AFTER INSERT OR UPDATE OF duration_s OR DELETE
    ON recordings FOR EACH ROW EXECUTE FUNCTION read_recording();
CREATE TRIGGER read_mention AFTER INSERT OR UPDATE
    ON mentions FOR EACH ROW EXECUTE FUNCTION read_mention();
CREATE TRIGGER read_sentiment AFTER INSERT OR UPDATE OR DELETE
    ON sentiment FOR EACH ROW EXECUTE FUNCTION read_sentiment();
