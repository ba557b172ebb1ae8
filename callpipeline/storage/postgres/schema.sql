-- The whole schema on one page. A test compares it with the result of the migrations.
-- Tables of Dagster are in schema `public` of the same database.

CREATE TABLE compatibility (
    oldest_schema text NOT NULL,
    only_row      boolean PRIMARY KEY DEFAULT true CHECK (only_row)
);
COMMENT ON TABLE compatibility IS
    'The oldest version of callpipeline that works with this schema: one row.';
COMMENT ON COLUMN compatibility.oldest_schema IS
    'The newest migration of that version. A migration that removes something raises it.';

CREATE TABLE clock (
    seen_at   timestamptz NOT NULL,
    only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row)
);
COMMENT ON TABLE clock IS
    'When the reconciler last looked: one row. In the future if the clock was set back since.';

CREATE TABLE catalog_versions (
    version     text PRIMARY KEY,
    content     jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE catalog_versions IS
    'Every version of the competitor catalog that results refer to.';

CREATE TABLE catalog_changes (
    change_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version    text NOT NULL REFERENCES catalog_versions,
    parent     text REFERENCES catalog_versions,
    origin     text NOT NULL CHECK (origin IN ('file', 'command', 'page', 'api', 'revert')),
    made_by    text,
    note       text NOT NULL DEFAULT '',
    made_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE catalog_changes IS
    'History of the competitor catalog: the last row is in force. Rows are never changed.';
COMMENT ON COLUMN catalog_changes.parent IS 'The version that this change replaced.';
COMMENT ON COLUMN catalog_changes.made_by IS
    'Login name, or user and machine of a command; null for a changed file.';

CREATE TABLE catalog_files (
    path           text PRIMARY KEY,
    sha256         text NOT NULL,
    version        text REFERENCES catalog_versions,
    problem        text,
    warnings       jsonb NOT NULL DEFAULT '[]',
    seen_at        timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE catalog_files IS
    'Files that the catalog is imported from, with the content that was last read.';
COMMENT ON COLUMN catalog_files.version IS 'The last version that was imported from the file.';
COMMENT ON COLUMN catalog_files.problem IS
    'Why the content was refused; null if it was imported.';

CREATE TABLE refused_aliases (
    competitor  text NOT NULL,
    letters     text NOT NULL,
    alias       text NOT NULL,
    refused_by  text,
    refused_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (competitor, letters)
);
COMMENT ON TABLE refused_aliases IS
    'Sounds-like aliases that a person refused: `catalog suggest` does not propose them again.';
COMMENT ON COLUMN refused_aliases.letters IS
    'The alias in normal form without spaces, as all its spacings are one alias.';

CREATE TABLE time_zone (
    name        text NOT NULL,
    changed_at  timestamptz,
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row)
);
COMMENT ON TABLE time_zone IS 'The time zone in which days are counted: one row.';
COMMENT ON COLUMN time_zone.changed_at IS
    'When the zone last changed, null if never; daily marts from before are refreshed.';
INSERT INTO time_zone (name, changed_at) VALUES ('UTC', NULL);

-- `set_time_zone` replaces both functions by those of another zone. The name is a part of their
-- text, so that they can be inlined and indexed.
CREATE FUNCTION call_day(at timestamptz)
RETURNS date LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT (at AT TIME ZONE 'UTC')::date $$;
COMMENT ON FUNCTION call_day IS 'Return the day of a time, in the time zone of days.';
CREATE FUNCTION day_starts_at(day date)
RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT day::timestamp AT TIME ZONE 'UTC'
$$;
COMMENT ON FUNCTION day_starts_at IS
    'Return the first moment of a day, in the time zone of days.';

CREATE FUNCTION set_time_zone(zone text) RETURNS boolean LANGUAGE plpgsql
SET search_path = callpipeline SET lock_timeout = '5s' AS $$
DECLARE
    tries integer := 0;
BEGIN
    PERFORM now() AT TIME ZONE zone;  -- raises an error if the zone is unknown
    -- Writers lock their call first, then write reading_calls, then reading_mentions.
    LOCK TABLE calls IN EXCLUSIVE MODE;
    LOCK TABLE reading_calls, reading_mentions IN EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM time_zone WHERE name = zone) THEN
        RETURN false;
    END IF;
    -- Tombstones know only their day, and keep it: its marts are not to be counted again.
    UPDATE calls SET last_modified = call_day(coalesce(started_at, last_modified))::timestamp
                                     AT TIME ZONE zone
    WHERE state = 'ERASED';
    EXECUTE format($f$
        CREATE OR REPLACE FUNCTION call_day(at timestamptz)
        RETURNS date LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $b$ SELECT (at AT TIME ZONE %1$L)::date $b$;
        CREATE OR REPLACE FUNCTION day_starts_at(day date)
        RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $b$
            -- Where clocks go back over midnight, it comes twice: the day starts with the first.
            SELECT CASE WHEN ((day::timestamp AT TIME ZONE %1$L - interval '1 hour')
                              AT TIME ZONE %1$L)::date = day
                        THEN day::timestamp AT TIME ZONE %1$L - interval '1 hour'
                        ELSE day::timestamp AT TIME ZONE %1$L END
        $b$ $f$, zone);
    CREATE INDEX calls_by_new_day ON calls (call_day(coalesce(started_at, last_modified)));
    UPDATE reading_calls SET day = call_day(took_place_at) WHERE day <> call_day(took_place_at);
    UPDATE reading_mentions m SET day = c.day FROM reading_calls c
    WHERE c.call_id = m.call_id AND c.day <> m.day;
    UPDATE time_zone SET name = zone, changed_at = clock_timestamp();
    -- Readers would wait behind a lock that waits for one of them, and a reader that then writes
    -- would be in a deadlock with it: so this lock is tried without waiting.
    LOOP
        BEGIN
            LOCK TABLE calls IN ACCESS EXCLUSIVE MODE NOWAIT;
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            tries := tries + 1;
            IF tries >= 100 THEN
                RAISE;
            END IF;
            PERFORM pg_sleep(0.05);
        END;
    END LOOP;
    DROP INDEX calls_by_day;
    ALTER INDEX calls_by_new_day RENAME TO calls_by_day;
    RETURN true;
END
$$;
COMMENT ON FUNCTION set_time_zone IS
    'Count days in another time zone; return false if it is in use already.';

-- State changes are compare-and-set on state and claimed_by.
CREATE TABLE calls (
    call_id              text PRIMARY KEY CHECK (call_id ~ '^\d{4}-\d\d-\d\d-[0-9a-f]{12}$'),
    bucket               text NOT NULL,
    key                  text NOT NULL,
    etag                 text NOT NULL,
    size_bytes           bigint NOT NULL,
    last_modified        timestamptz NOT NULL,
    sha256               text,
    agent_channel        text NOT NULL DEFAULT 'left' CHECK (agent_channel IN ('left', 'right')),
    metadata             jsonb NOT NULL DEFAULT '{}',
    started_at           timestamptz,
    duplicates           text NOT NULL DEFAULT 'link'
                         CHECK (duplicates IN ('link', 'process', 'refuse')),
    duplicate_of         text REFERENCES calls ON DELETE SET NULL,
    lane                 text NOT NULL DEFAULT 'live' CHECK (lane IN ('live', 'bulk')),
    priority             smallint NOT NULL DEFAULT 0,
    state                text NOT NULL DEFAULT 'PENDING',
    batch_id             text,
    batched_at           timestamptz,
    idle_runs            integer NOT NULL DEFAULT 0,
    releases             integer NOT NULL DEFAULT 0,
    claimed_by           text,
    attempts             integer NOT NULL DEFAULT 0,
    retries              integer NOT NULL DEFAULT 0,
    next_attempt_at      timestamptz,
    error_stage          text,
    error_class          text,
    error_message        text,
    error_transient      boolean,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    completed_at         timestamptz,
    first_ended_at       timestamptz,
    unavailable_since    timestamptz,
    unavailable_service  text,
    metadata_due_at      timestamptz,
    beginning_sha256     text,
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
CREATE INDEX calls_pending ON calls (lane, priority DESC, created_at, call_id)
    WHERE state = 'PENDING' AND batch_id IS NULL;
CREATE INDEX calls_by_batch ON calls (batch_id) WHERE state = 'PENDING' AND batch_id IS NOT NULL;
CREATE INDEX calls_by_claim ON calls (claimed_by) WHERE claimed_by IS NOT NULL;
CREATE INDEX calls_by_original ON calls (duplicate_of) WHERE duplicate_of IS NOT NULL;
-- Erased recordings are recognized by the hash of bucket, key and etag in their id.
CREATE INDEX calls_erased ON calls (right(call_id, 12)) WHERE state = 'ERASED';
CREATE INDEX calls_by_content ON calls (sha256) WHERE sha256 IS NOT NULL;
-- By file name, and by the stem that a recording shares with its sidecar files.
CREATE INDEX calls_by_file_name ON calls (regexp_replace(key, '^.*/', ''));
CREATE INDEX calls_by_stem ON calls (regexp_replace(key, '\.[^./]*$', ''));
CREATE INDEX calls_by_unavailable_since ON calls (unavailable_since)
    WHERE unavailable_since IS NOT NULL;
CREATE INDEX calls_by_unavailable_service ON calls (unavailable_service)
    WHERE unavailable_service IS NOT NULL;
CREATE INDEX calls_by_end ON calls (first_ended_at) WHERE first_ended_at IS NOT NULL;
CREATE INDEX calls_by_metadata_due ON calls (metadata_due_at) WHERE metadata_due_at IS NOT NULL;
CREATE INDEX calls_by_customer ON calls (lower(metadata ->> 'customer'))
    WHERE metadata ->> 'customer' IS NOT NULL;
-- Used only if the expression is identical to that of `day` in the views.
CREATE INDEX calls_by_day ON calls (call_day(coalesce(started_at, last_modified)));
COMMENT ON TABLE calls IS 'The ledger: one row per recording.';
COMMENT ON COLUMN calls.started_at IS 'Start of the call; null if unknown.';
COMMENT ON COLUMN calls.metadata IS
    'Metadata from the recording''s name, a file beside it, its sender or a person: agent, customer, direction, …';
COMMENT ON COLUMN calls.duplicate_of IS 'The earlier call with the same content.';
COMMENT ON COLUMN calls.idle_runs IS
    'Consecutive runs that ended before the call did, through no fault of the call.';
COMMENT ON COLUMN calls.releases IS 'How many of these runs had claimed the call and released it.';
COMMENT ON COLUMN calls.attempts IS 'Attempts since the last run that ended normally.';
COMMENT ON COLUMN calls.retries IS 'Attempts that ended in a transient error.';
COMMENT ON COLUMN calls.first_ended_at IS 'When the call completed or failed for the first time.';
COMMENT ON COLUMN calls.metadata_due_at IS
    'When to look again for a metadata file that was not beside the recording yet; null if none is expected.';
COMMENT ON COLUMN calls.beginning_sha256 IS
    'Hash of a part near the beginning of the recording, read when it was discovered: a longer version has the same, another recording has not.';
COMMENT ON COLUMN calls.unavailable_since IS
    'Since when the call waits for an unavailable service; null if it does not.';
COMMENT ON COLUMN calls.unavailable_service IS
    'The service that the call waits for, as in table outages; null if none.';
COMMENT ON COLUMN calls.next_attempt_at IS
    'A pending call is not assigned to a batch before this time.';

CREATE TABLE call_corrections (
    correction_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    call_id        text NOT NULL REFERENCES calls ON DELETE CASCADE,
    fields         jsonb NOT NULL,
    corrected_by   text,
    previous_day   date,
    corrected_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX call_corrections_by_call ON call_corrections (call_id, correction_id);
COMMENT ON TABLE call_corrections IS
    'What people corrected about a call. Rows are never changed; later ones have precedence.';
COMMENT ON COLUMN call_corrections.fields IS
    'Corrected values by field: agent, customer, started_at, …; null removes a field.';
COMMENT ON COLUMN call_corrections.previous_day IS
    'The day of the call before its time was corrected; null if it was not.';

-- No CHECK on url: Postgres would log the URL when it fails.
CREATE TABLE announced (
    call_id       text PRIMARY KEY REFERENCES calls ON DELETE CASCADE,
    identity      text NOT NULL,
    url           text,
    announced_at  timestamptz NOT NULL DEFAULT now(),
    fetched_at    timestamptz
);
CREATE INDEX announced_by_identity ON announced (identity);
CREATE INDEX announced_with_url ON announced (announced_at) WHERE url IS NOT NULL;
COMMENT ON TABLE announced IS 'Calls whose recording was announced by URL.';
COMMENT ON COLUMN announced.identity IS
    'Hash of the URL and the idempotency key; identifies repeated announcements.';
COMMENT ON COLUMN announced.url IS
    'The URL, which may be signed and therefore secret; null once the recording is stored.';

CREATE TABLE contents (
    sha256   text PRIMARY KEY,
    call_id  text NOT NULL REFERENCES calls ON DELETE CASCADE
);
CREATE INDEX contents_by_call ON contents (call_id);
COMMENT ON TABLE contents IS 'The owner of each content: the call that had it first.';

CREATE TABLE outages (
    service           text PRIMARY KEY,
    reason            text NOT NULL,
    attempts          integer NOT NULL DEFAULT 0,
    since             timestamptz NOT NULL DEFAULT now(),
    retry_at          timestamptz NOT NULL,
    probe_started_at  timestamptz
);
COMMENT ON TABLE outages IS 'Services that are unavailable. One request probes each at retry_at.';
COMMENT ON COLUMN outages.probe_started_at IS
    'When a call was assigned to a batch as a probe; null after the probe.';

CREATE TABLE runs (
    run_id        text PRIMARY KEY,
    began_at      timestamptz NOT NULL DEFAULT now(),
    heartbeat_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE runs IS
    'Runs that hold calls. A run without a recent heartbeat is considered dead.';

CREATE TABLE call_stages (
    call_id          text NOT NULL REFERENCES calls ON DELETE CASCADE,
    stage            text NOT NULL,
    run_id           text NOT NULL,
    engine           text,
    catalog_version  text REFERENCES catalog_versions,
    took_s           double precision NOT NULL,
    stored_at        timestamptz NOT NULL DEFAULT now(),
    rule_version     integer,
    PRIMARY KEY (call_id, stage)
);
CREATE INDEX call_stages_by_catalog ON call_stages (catalog_version, stage);
CREATE INDEX call_stages_by_run ON call_stages (run_id);
CREATE INDEX call_stages_by_time ON call_stages (stage, stored_at);
CREATE INDEX call_stages_by_versions ON call_stages (catalog_version, rule_version)
    WHERE stage = 'competitor_mentions';
COMMENT ON TABLE call_stages IS 'Stored stages of calls, written together with their results.';
COMMENT ON COLUMN call_stages.rule_version IS
    'Version of the rules that found the mentions; 0 from before versions were recorded.';

CREATE TABLE recordings (
    call_id              text PRIMARY KEY REFERENCES calls ON DELETE CASCADE,
    container            text NOT NULL,
    codec                text NOT NULL,
    sample_rate_hz       integer NOT NULL,
    channel_count        integer NOT NULL,
    duration_s           double precision NOT NULL,
    declared_duration_s  double precision,
    bad_packets          integer NOT NULL,
    flags                jsonb NOT NULL,
    withheld             boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE recordings IS 'Properties of decoded recordings.';
COMMENT ON COLUMN recordings.withheld IS
    'Whether the audio can''t be played until numbers in it are muted, when it is transcribed.';
COMMENT ON COLUMN recordings.flags IS 'Problems of the recording: [{flag, detail, channel}].';

CREATE TABLE channels (
    call_id         text NOT NULL REFERENCES calls ON DELETE CASCADE,
    channel         text NOT NULL CHECK (channel ~ '^(left|right|mixed|[1-9][0-9]?)$'),
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
COMMENT ON TABLE channels IS 'Audio of each channel of a call.';
COMMENT ON COLUMN channels.speech IS 'Intervals of speech: [[start_s, end_s], …].';

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
COMMENT ON TABLE call_metrics IS 'Talk time, silence and overlap of each call.';

CREATE TABLE transcripts (
    call_id     text NOT NULL REFERENCES calls ON DELETE CASCADE,
    channel     text NOT NULL CHECK (channel ~ '^(left|right|mixed|[1-9][0-9]?)$'),
    speaker     text NOT NULL CHECK (speaker IN ('agent', 'customer', 'unknown')),
    engine      text NOT NULL,
    language    text NOT NULL,
    word_count  integer NOT NULL,
    confidence  double precision,
    reliable    boolean NOT NULL,
    object_key  text NOT NULL,
    unheard_s   double precision,
    flags       jsonb NOT NULL DEFAULT '[]',
    PRIMARY KEY (call_id, channel)
);
COMMENT ON TABLE transcripts IS 'Transcript of each channel; its words are in the object store.';
COMMENT ON COLUMN transcripts.confidence IS
    'Mean word confidence, 0 to 1; null if the engine reports none.';
COMMENT ON COLUMN transcripts.unheard_s IS
    'Seconds of detected speech more than 1 s from any word; null if not measured.';
COMMENT ON COLUMN transcripts.flags IS
    'What was repaired or ignored in a supplied transcript: [{flag, detail, channel}].';

CREATE TABLE segments (
    call_id        text NOT NULL,
    channel        text NOT NULL,
    segment_index  integer NOT NULL,
    speaker        text NOT NULL,
    start_s        double precision NOT NULL,
    end_s          double precision NOT NULL,
    text           text NOT NULL,
    lexemes        tsvector GENERATED ALWAYS AS (to_tsvector('english', text)) STORED,
    voice             smallint,
    voice_confidence  double precision,
    PRIMARY KEY (call_id, channel, segment_index),
    FOREIGN KEY (call_id, channel) REFERENCES transcripts ON DELETE CASCADE
);
CREATE INDEX segments_by_words ON segments USING gin (lexemes);
COMMENT ON TABLE segments IS 'Segments of speech, with a full-text index.';
COMMENT ON COLUMN segments.voice IS
    'In a mono recording with two voices, 1 or 2 in order of first appearance; else null.';
COMMENT ON COLUMN segments.voice_confidence IS
    'Probability that the segment is of that voice.';

CREATE TABLE word_corrections (
    correction_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    call_id        text NOT NULL REFERENCES calls ON DELETE CASCADE,
    channel        text NOT NULL,
    start_s        double precision NOT NULL,
    end_s          double precision NOT NULL CHECK (end_s >= start_s),
    original       text NOT NULL,
    text           text NOT NULL CHECK (text <> ''),
    corrected_by   text,
    corrected_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    segment_index  integer,
    first_word     integer,
    end_word       integer
);
CREATE INDEX word_corrections_by_call ON word_corrections (call_id, correction_id);
COMMENT ON TABLE word_corrections IS
    'Words that people corrected, by their time: they hold for later transcripts too.';
COMMENT ON COLUMN word_corrections.original IS 'The words that were corrected.';
COMMENT ON COLUMN word_corrections.segment_index IS
    'The corrected segment in the transcript of that time; null if only times are known.';
COMMENT ON COLUMN word_corrections.first_word IS
    'The first corrected word of the segment, after all earlier corrections.';
COMMENT ON COLUMN word_corrections.end_word IS 'The word behind the last corrected one.';

CREATE TABLE redactions (
    call_id   text NOT NULL REFERENCES calls ON DELETE CASCADE,
    position  integer NOT NULL,
    number    integer NOT NULL,
    kind      text NOT NULL CHECK (kind IN ('card', 'bank', 'phone', 'email')),
    channel   text NOT NULL CHECK (channel ~ '^(left|right|mixed|[1-9][0-9]?)$'),
    start_s   double precision NOT NULL,
    end_s     double precision NOT NULL,
    PRIMARY KEY (call_id, position)
);
COMMENT ON TABLE redactions IS
    'Numbers and addresses that were masked in transcripts and muted in audio.';
COMMENT ON COLUMN redactions.number IS
    'Distinguishes the numbers of a call: one that was said with an interruption has several rows.';

CREATE TABLE voices (
    call_id  text NOT NULL REFERENCES calls ON DELETE CASCADE,
    voice    smallint NOT NULL CHECK (voice IN (1, 2)),
    speaker  text NOT NULL CHECK (speaker IN ('agent', 'customer', 'unknown')),
    talk_s   double precision NOT NULL,
    PRIMARY KEY (call_id, voice)
);
COMMENT ON TABLE voices IS
    'The voices of a mono recording, with role and talk time.';

CREATE TABLE voice_decisions (
    decision_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    call_id      text NOT NULL REFERENCES calls ON DELETE CASCADE,
    agent_voice  smallint NOT NULL CHECK (agent_voice IN (1, 2)),
    decided_by   text,
    decided_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX voice_decisions_by_call ON voice_decisions (call_id, decision_id DESC);
COMMENT ON TABLE voice_decisions IS
    'Decisions of people on which voice is the agent; the last one of a call holds.';

CREATE TABLE mentions (
    call_id        text NOT NULL REFERENCES calls ON DELETE CASCADE,
    mention_id     text NOT NULL,
    competitor     text NOT NULL,
    alias          text NOT NULL,
    text           text NOT NULL,
    channel        text NOT NULL,
    speaker        text NOT NULL,
    segment_index  integer NOT NULL,
    char_start     integer NOT NULL,
    char_end       integer NOT NULL,
    start_s        double precision NOT NULL,
    end_s          double precision NOT NULL,
    confidence     double precision,
    status         text NOT NULL CHECK (status IN ('counted', 'needs_review', 'dismissed')),
    reason         text NOT NULL,
    found_status   text,
    found_reason   text,
    log_odds       double precision,
    phrase         text NOT NULL DEFAULT '',
    PRIMARY KEY (call_id, mention_id)
);
CREATE INDEX mentions_by_competitor ON mentions (competitor, status);
CREATE INDEX mentions_needing_review ON mentions (competitor, call_id)
    WHERE status = 'needs_review';
COMMENT ON TABLE mentions IS 'Mentions of competitors, with the decision whether each counts.';
COMMENT ON COLUMN mentions.reason IS
    'The rule that set the status, with the words that it matched.';
COMMENT ON COLUMN mentions.found_status IS
    'Status by the rules, if a person reviewed the mention; otherwise null.';
COMMENT ON COLUMN mentions.found_reason IS 'The rule that set found_status.';
COMMENT ON COLUMN mentions.log_odds IS
    'Log-odds from the context that an ambiguous name means the company; null for other names.';
COMMENT ON COLUMN mentions.phrase IS
    'The name with the next word, if that may belong to it ("clover house"); otherwise empty.';

CREATE TABLE reviews (
    review_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    call_id     text NOT NULL REFERENCES calls ON DELETE CASCADE,
    mention_id  text NOT NULL,
    start_s     double precision NOT NULL,
    decision    text NOT NULL CHECK (decision IN ('confirmed', 'dismissed', 'reset')),
    decided_by  text,
    decided_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    undoes      bigint REFERENCES reviews ON DELETE CASCADE,
    competitor  text,
    log_odds    double precision,
    phrase      text NOT NULL DEFAULT ''
);
CREATE INDEX reviews_by_mention ON reviews (call_id, mention_id, review_id DESC);
COMMENT ON TABLE reviews IS
    'Decisions of people about mentions. The last decision counts; none is changed or deleted.';
COMMENT ON COLUMN reviews.mention_id IS
    'Not a foreign key: a mention may disappear and be found again.';
COMMENT ON COLUMN reviews.start_s IS
    'Position of the mention: in another transcript, its id may belong to another word.';
COMMENT ON COLUMN reviews.decision IS
    'confirmed (it counts), dismissed (it does not), or reset (the rules decide again).';
COMMENT ON COLUMN reviews.undoes IS 'The decision that this one reverts.';
COMMENT ON COLUMN reviews.log_odds IS
    'Log-odds of the mention when it was decided on, if its name was ambiguous: an answer about the name.';
COMMENT ON COLUMN reviews.phrase IS 'Phrase of the mention when it was decided on.';

CREATE TABLE sentiment (
    call_id     text NOT NULL,
    mention_id  text NOT NULL,
    competitor  text NOT NULL,
    sentiment   text NOT NULL CHECK (sentiment IN ('positive', 'neutral', 'negative', 'mixed')),
    score       double precision NOT NULL CHECK (score BETWEEN -1 AND 1),
    rule        text NOT NULL,
    quote       text NOT NULL,
    engine      text NOT NULL,
    confidence  double precision CHECK (confidence BETWEEN 0 AND 1),
    switching   text CHECK (switching IN ('leaving_to', 'coming_from', 'considering', 'staying')),
    switching_quote text NOT NULL DEFAULT '',
    judged      jsonb,
    PRIMARY KEY (call_id, mention_id),
    FOREIGN KEY (call_id, mention_id) REFERENCES mentions ON DELETE CASCADE
);
COMMENT ON TABLE sentiment IS 'Sentiment of each counted mention towards the competitor.';
COMMENT ON COLUMN sentiment.confidence IS
    'Calibrated probability that the sentiment is right; null if the engine has none.';
COMMENT ON COLUMN sentiment.switching IS
    'What the customer says about the competitor: leaving_to it, coming_from it, considering it or staying with it.';
COMMENT ON COLUMN sentiment.switching_quote IS 'The words that say so.';
COMMENT ON COLUMN sentiment.judged IS
    'The judgement that a person corrected: sentiment, score, rule, confidence; otherwise null.';

CREATE TABLE sentiment_corrections (
    correction_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    call_id        text NOT NULL REFERENCES calls ON DELETE CASCADE,
    mention_id     text NOT NULL,
    start_s        double precision NOT NULL,
    sentiment      text CHECK (sentiment IN ('positive', 'neutral', 'negative', 'mixed')),
    corrected_by   text,
    corrected_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX sentiment_corrections_by_mention
    ON sentiment_corrections (call_id, mention_id, correction_id DESC);
COMMENT ON TABLE sentiment_corrections IS
    'Corrections of sentiment by people. The last one of a mention holds; none is changed or deleted.';
COMMENT ON COLUMN sentiment_corrections.start_s IS
    'Position of the mention: in another transcript, its id may belong to another word.';
COMMENT ON COLUMN sentiment_corrections.sentiment IS
    'The right sentiment; null if the judge''s holds again.';

CREATE TABLE sentiment_patterns (
    kind      text NOT NULL CHECK (kind IN ('positive', 'negative')),
    position  integer NOT NULL,
    pattern   text NOT NULL,
    PRIMARY KEY (kind, position)
);
COMMENT ON TABLE sentiment_patterns IS
    'Phrases of users that decide the sentiment of a mention before any judge.';

CREATE TABLE unjudged (
    call_id              text NOT NULL,
    mention_id           text NOT NULL,
    competitor           text NOT NULL,
    reason               text NOT NULL,
    error_class          text NOT NULL,
    transient            boolean NOT NULL,
    tries                integer NOT NULL DEFAULT 1,
    next_attempt_at      timestamptz,
    asked_by             text,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    unavailable_service  text,
    unavailable_since    timestamptz,
    PRIMARY KEY (call_id, mention_id),
    FOREIGN KEY (call_id, mention_id) REFERENCES mentions ON DELETE CASCADE
);
CREATE INDEX unjudged_due ON unjudged (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
COMMENT ON TABLE unjudged IS
    'Mentions of complete calls whose sentiment is missing, with the reason and the next retry.';
COMMENT ON COLUMN unjudged.tries IS 'Attempts so far; reset when a person requests a retry.';
COMMENT ON COLUMN unjudged.next_attempt_at IS
    'Not retried before this time; null if there are no more automatic retries.';
COMMENT ON COLUMN unjudged.unavailable_service IS
    'The service that the mention waits for, without using up a retry; null if none.';
COMMENT ON COLUMN unjudged.asked_by IS
    'The last run that retried it; null once another run claims the call.';

CREATE TABLE evaluations (
    evaluation_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject        text NOT NULL CHECK (subject IN ('mentions', 'sentiment')),
    versions       text NOT NULL,
    labels         text NOT NULL,
    outcomes       jsonb NOT NULL,
    numbers        jsonb NOT NULL,
    measured_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX evaluations_by_subject ON evaluations (subject, evaluation_id DESC);
COMMENT ON TABLE evaluations IS
    'Results of rules, list and engines on labels: the asset checks compare each with the one before.';
COMMENT ON COLUMN evaluations.versions IS
    'The versions that were evaluated: of list, rules and engine.';
COMMENT ON COLUMN evaluations.labels IS 'Hash of the labels.';
COMMENT ON COLUMN evaluations.outcomes IS
    'Whether the result was right, by the hash of the label.';
COMMENT ON COLUMN evaluations.numbers IS 'Scores: precision, recall and others.';

CREATE TABLE rematches (
    rematch_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    catalog_version  text NOT NULL REFERENCES catalog_versions,
    rule_version     integer NOT NULL,
    reason           text NOT NULL,
    asked_by         text,
    calls            integer NOT NULL,
    unaffected       integer NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    paused_at        timestamptz,
    paused_by        text,
    ended_at         timestamptz,
    outcome          text CHECK (outcome IN ('done', 'superseded')),
    CHECK ((ended_at IS NULL) = (outcome IS NULL))
);
CREATE UNIQUE INDEX rematches_open ON rematches ((ended_at IS NULL)) WHERE ended_at IS NULL;
COMMENT ON TABLE rematches IS
    'Rematches of completed calls: mentions and sentiment are found again in stored transcripts.';
COMMENT ON COLUMN rematches.calls IS 'Calls that it computes again.';
COMMENT ON COLUMN rematches.unaffected IS
    'Calls whose transcripts have none of the changed names: their results hold unchanged.';
COMMENT ON COLUMN rematches.paused_at IS 'When a person stopped it; null while it continues.';
COMMENT ON COLUMN rematches.paused_by IS
    'The person or key that stopped it; null while it continues, and if unknown.';

CREATE TABLE rematch_calls (
    call_id     text PRIMARY KEY REFERENCES calls ON DELETE CASCADE,
    rematch_id  bigint NOT NULL REFERENCES rematches ON DELETE CASCADE,
    error       text,
    stage       text
        CHECK (stage IN ('transcripts', 'competitor_mentions', 'competitor_sentiment')),
    deferrals   integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    deferred_because text
);
CREATE INDEX rematch_calls_by_rematch ON rematch_calls (rematch_id, call_id);
COMMENT ON TABLE rematch_calls IS
    'Calls that a rematch still has to compute, or could not; a row goes with the new results.';
COMMENT ON COLUMN rematch_calls.stage IS
    'The first stage that a person asked to be computed again; null if the list has changed.';
COMMENT ON COLUMN rematch_calls.deferrals IS
    'Attempts that failed because the judge was away or overloaded.';
COMMENT ON COLUMN rematch_calls.next_attempt_at IS
    'When a deferred call is due again; null if it is due.';
COMMENT ON COLUMN rematch_calls.deferred_because IS
    'The error of the last deferred attempt; without words of the call.';

CREATE TABLE replaced_judgements (
    call_id     text NOT NULL REFERENCES calls ON DELETE CASCADE,
    mention_id  text NOT NULL,
    context     text NOT NULL,
    competitor  text NOT NULL,
    sentiment   text NOT NULL,
    score       double precision NOT NULL,
    rule        text NOT NULL,
    quote       text NOT NULL,
    engine      text NOT NULL,
    confidence  double precision,
    switching   text,
    switching_quote text NOT NULL DEFAULT '',
    PRIMARY KEY (call_id, mention_id, context)
);
COMMENT ON TABLE replaced_judgements IS
    'Sentiment that a rematch or a dismissal removed: undoing it gives exactly the same back.';
COMMENT ON COLUMN replaced_judgements.context IS
    'Hash of the segment and of the names that counted in it, or dismissed.';

CREATE TABLE discovery (
    source      text PRIMARY KEY,
    token       text NOT NULL,
    position    text NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE discovery IS
    'Position of discovery in each source. Without a row, discovery starts from the beginning.';
COMMENT ON COLUMN discovery.token IS 'Cursor of the sensor, as long as the position is valid.';
COMMENT ON COLUMN discovery.position IS
    'JSON with object keys; text, because jsonb rejects some of their characters.';

CREATE TABLE source_scans (
    source      text PRIMARY KEY,
    scanned_at  timestamptz NOT NULL,
    listed_at   timestamptz,
    swept_at    timestamptz,
    found_at    timestamptz,
    listed      bigint NOT NULL DEFAULT 0,
    skipped     bigint NOT NULL DEFAULT 0,
    unsettled   bigint NOT NULL DEFAULT 0,
    unreadable  jsonb NOT NULL DEFAULT '{}',
    failure     text
);
COMMENT ON TABLE source_scans IS
    'When each source was last scanned. Counts are of the last scan that listed objects.';
COMMENT ON COLUMN source_scans.swept_at IS
    'When all objects of the source were last listed; null until then.';
COMMENT ON COLUMN source_scans.found_at IS 'When a new recording was last registered.';
COMMENT ON COLUMN source_scans.skipped IS 'Objects that are no recordings by name.';
COMMENT ON COLUMN source_scans.unsettled IS 'Objects that may still be written to.';
COMMENT ON COLUMN source_scans.unreadable IS
    'Numbers of objects that cannot be imported, by reason.';
COMMENT ON COLUMN source_scans.failure IS
    'Why the last scan failed or broke off; null if it did not.';

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
COMMENT ON TABLE incidents IS
    'Groups of related events, such as an outage; notified at most every ten minutes.';
COMMENT ON COLUMN incidents.recovers IS 'Whether the recovery is notified.';
COMMENT ON COLUMN incidents.cleared_at IS 'When the problem was found to be resolved.';

CREATE TABLE outbox (
    event_id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind              text NOT NULL,
    severity          text NOT NULL CHECK (severity IN ('info', 'warning', 'error', 'critical')),
    group_key         text NOT NULL,
    subject           text UNIQUE,
    recovers          boolean NOT NULL DEFAULT false,
    title             text NOT NULL DEFAULT '',
    message           text NOT NULL DEFAULT '',
    call_id           text REFERENCES calls ON DELETE CASCADE,
    run_id            text,
    stage             text,
    error_class       text,
    error_message     text,
    metadata          jsonb NOT NULL DEFAULT '{}',
    channels          text[],
    occurred_at       timestamptz NOT NULL DEFAULT now(),
    incident_id       bigint REFERENCES incidents,
    pending_channels  text[] NOT NULL DEFAULT '{}'
);
CREATE INDEX outbox_new ON outbox (occurred_at) WHERE incident_id IS NULL;
CREATE INDEX outbox_pending ON outbox (incident_id) WHERE pending_channels <> '{}';
CREATE INDEX outbox_by_incident ON outbox (incident_id);
CREATE INDEX outbox_by_group ON outbox (group_key, kind);
CREATE INDEX outbox_by_call ON outbox (call_id) WHERE call_id IS NOT NULL;
COMMENT ON TABLE outbox IS 'Events to notify, written in the transaction that causes them.';
COMMENT ON COLUMN outbox.subject IS
    'Identifies what happened, for events that must be notified only once.';
COMMENT ON COLUMN outbox.channels IS 'Requested channels; null applies the routing rules.';
COMMENT ON COLUMN outbox.incident_id IS 'Null until the event is dispatched.';
COMMENT ON COLUMN outbox.pending_channels IS
    'Channels that still need a notification of the event.';

CREATE TABLE alert_rules (
    rule_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('spike', 'sentiment', 'leaving', 'new_competitor')),
    competitor  text,
    threshold   double precision NOT NULL CHECK (threshold >= 0),
    days        integer NOT NULL CHECK (days BETWEEN 1 AND 366),
    min_calls   integer NOT NULL CHECK (min_calls >= 1),
    channels    text[] NOT NULL,
    has_quotes  boolean NOT NULL,
    is_enabled  boolean NOT NULL,
    made_by     text,
    made_at     timestamptz NOT NULL DEFAULT now(),
    checked_at  timestamptz
);
COMMENT ON TABLE alert_rules IS
    'Rules of alerts on what is said in calls; the sensor trouble checks them.';
COMMENT ON COLUMN alert_rules.competitor IS 'The only competitor watched; null if any.';
COMMENT ON COLUMN alert_rules.threshold IS 'In mentions per 100 completed calls.';
COMMENT ON COLUMN alert_rules.channels IS 'Channels to notify; none applies the routing rules.';
COMMENT ON COLUMN alert_rules.has_quotes IS
    'Whether quotes are sent, to channels that may receive them.';

CREATE TABLE reported_alerts (
    rule_id      bigint NOT NULL REFERENCES alert_rules ON DELETE CASCADE,
    subject      text NOT NULL,
    reported_on  date NOT NULL,
    PRIMARY KEY (rule_id, subject)
);
COMMENT ON TABLE reported_alerts IS
    'When a rule last reported a competitor or a call; events in the outbox are deleted earlier.';
COMMENT ON COLUMN reported_alerts.subject IS
    'Kind of alert and competitor, or the call of a customer who leaves.';

CREATE TABLE notifications (
    notification_id  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    number           bigint GENERATED ALWAYS AS IDENTITY,
    incident_id      bigint NOT NULL REFERENCES incidents,
    channel          text NOT NULL,
    part             text NOT NULL CHECK (part IN ('opening', 'update', 'recovery')),
    state            text NOT NULL DEFAULT 'PENDING'
                     CHECK (state IN ('PENDING', 'DELIVERED', 'GAVE_UP')),
    created_at       timestamptz NOT NULL,
    next_attempt_at  timestamptz NOT NULL,
    leased_until     timestamptz,
    attempts         integer NOT NULL DEFAULT 0,
    attempts_before  integer NOT NULL DEFAULT 0,
    asked_until      timestamptz,
    retried_early    boolean NOT NULL DEFAULT false,
    delivered_at     timestamptz,
    receipt          text,
    CHECK ((state = 'DELIVERED') = (delivered_at IS NOT NULL))
);
CREATE INDEX notifications_due ON notifications (channel, next_attempt_at) WHERE state = 'PENDING';
CREATE INDEX notifications_in_order ON notifications (incident_id, channel, number)
    WHERE state = 'PENDING';
CREATE INDEX notifications_by_incident ON notifications (incident_id, channel, number);
CREATE INDEX notifications_by_number ON notifications (number);
COMMENT ON TABLE notifications IS
    'Messages to one channel about one or more events. The id is the same in every attempt.';
COMMENT ON COLUMN notifications.leased_until IS
    'A process delivers the message until this time; later, another one may.';
COMMENT ON COLUMN notifications.attempts_before IS
    'Attempts before a person requested a retry, which restarts the backoff.';
COMMENT ON COLUMN notifications.asked_until IS
    'The receiver asked for no deliveries until this time (Retry-After).';
COMMENT ON COLUMN notifications.retried_early IS
    'Whether it was retried early because another message was delivered.';
COMMENT ON COLUMN notifications.receipt IS 'The receiver''s id of the message, for threads.';

CREATE TABLE notification_events (
    event_id         uuid NOT NULL REFERENCES outbox ON DELETE CASCADE,
    channel          text NOT NULL,
    notification_id  uuid NOT NULL REFERENCES notifications ON DELETE CASCADE,
    PRIMARY KEY (event_id, channel)
);
CREATE INDEX notification_events_by_notification ON notification_events (notification_id);
COMMENT ON TABLE notification_events IS 'Events of each message: every event once per channel.';

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
COMMENT ON TABLE deliveries IS 'Attempts to deliver a message, with the receiver''s answer.';

CREATE TABLE disabled_receivers (
    channel  text PRIMARY KEY,
    address  text NOT NULL,
    since    timestamptz NOT NULL,
    answer   text NOT NULL
);
COMMENT ON TABLE disabled_receivers IS 'Receivers that permanently refused messages.';
COMMENT ON COLUMN disabled_receivers.address IS
    'Hash of the address; a new address enables the channel again.';

-- Adds an outbox event for every call that fails, whichever statement fails it.
CREATE FUNCTION enqueue_failed_call() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
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
CREATE TRIGGER enqueue_failed_call AFTER UPDATE OF state ON calls FOR EACH ROW
    WHEN (NEW.state = 'FAILED' AND OLD.state <> 'FAILED')
    EXECUTE FUNCTION enqueue_failed_call();

-- Wakes the process that plans runs (see listen_for_waiting_calls).
CREATE FUNCTION notify_waiting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY callpipeline_waiting;
    RETURN NULL;
END
$$;
CREATE TRIGGER notify_waiting AFTER INSERT OR UPDATE OF state ON calls FOR EACH ROW
    WHEN (NEW.state = 'PENDING') EXECUTE FUNCTION notify_waiting();

-- The row in table calls is a tombstone from the start of an erasure.
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
COMMENT ON TABLE erasures IS
    'Calls that were erased or are being erased. Bucket and key are null once the object is deleted.';
COMMENT ON COLUMN erasures.because IS 'Reason given by the person who requested the erasure.';
COMMENT ON COLUMN erasures.keep_recording IS
    'Whether the original recording is kept; it is not imported again.';
COMMENT ON COLUMN erasures.is_unread IS
    'Whether the recording must be read before it is deleted, to know its content hash.';
COMMENT ON COLUMN erasures.run_id IS 'The run that processed the call when it was erased.';
COMMENT ON COLUMN erasures.trouble IS 'Error that prevents completion; the erasure is retried.';
COMMENT ON COLUMN erasures.verified_at IS
    'When nothing of the call was found, some minutes after the erasure.';

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
COMMENT ON TABLE deletions IS 'Log of deletions. Without call_id: of several calls, or of none.';
COMMENT ON COLUMN deletions.what IS
    'recording, channel_audio, transcripts, call, notifications; in Dagster partition_keys, runs, events, ticks, backfills.';

CREATE VIEW stored_stages AS
SELECT s.call_id, s.stage, s.stored_at FROM call_stages s
WHERE NOT EXISTS (SELECT FROM deletions d
                  WHERE d.call_id = s.call_id AND d.what = s.stage AND d.at >= s.stored_at);
COMMENT ON VIEW stored_stages IS
    'Stages with stored results, without those that retention has deleted since.';

-- Daily marts, computed by Dagster and exposed in schema `analytics`. They are kept when retention
-- deletes the calls.
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
COMMENT ON TABLE daily_calls IS 'Calls by day, including days without calls.';
COMMENT ON COLUMN daily_calls.day IS 'Day of the calls, in the time zone of days.';
COMMENT ON COLUMN daily_calls.calls IS 'Calls of that day, without duplicates and erased calls.';
COMMENT ON COLUMN daily_calls.completed IS 'Completed calls.';
COMMENT ON COLUMN daily_calls.failed IS 'Failed calls.';
COMMENT ON COLUMN daily_calls.mentions IS 'Mentions of competitors.';
COMMENT ON COLUMN daily_calls.audio_h IS 'Hours of audio.';
COMMENT ON COLUMN daily_calls.agent_talk_h IS 'Talk time of agents in hours.';
COMMENT ON COLUMN daily_calls.customer_talk_h IS 'Talk time of customers in hours.';
COMMENT ON COLUMN daily_calls.silence_h IS 'Silence in hours.';
COMMENT ON COLUMN daily_calls.channel_audio_p50_s IS 'Seconds to split a recording; median.';
COMMENT ON COLUMN daily_calls.channel_audio_p95_s IS
    'Seconds to split a recording; 95th percentile.';
COMMENT ON COLUMN daily_calls.transcripts_p50_s IS 'Seconds to transcribe a call; median.';
COMMENT ON COLUMN daily_calls.transcripts_p95_s IS 'Seconds to transcribe a call; 95th percentile.';
COMMENT ON COLUMN daily_calls.competitor_sentiment_p50_s IS
    'Seconds to judge the mentions of a call; median.';
COMMENT ON COLUMN daily_calls.competitor_sentiment_p95_s IS
    'Seconds to judge the mentions of a call; 95th percentile.';
COMMENT ON COLUMN daily_calls.made_at IS 'When the calls were read to compute this row.';

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
    mixed              integer NOT NULL,
    mean_score         double precision,
    share_of_mentions  double precision NOT NULL,
    share_of_calls     double precision,
    customer_score     double precision,
    agent_score        double precision,
    PRIMARY KEY (day, competitor)
);
COMMENT ON TABLE daily_competitors IS 'Competitors by day, for days with a mention.';
COMMENT ON COLUMN daily_competitors.day IS 'Day of the calls, in the time zone of days.';
COMMENT ON COLUMN daily_competitors.competitor IS 'The competitor.';
COMMENT ON COLUMN daily_competitors.calls IS 'Calls with a mention.';
COMMENT ON COLUMN daily_competitors.mentions IS 'Mentions.';
COMMENT ON COLUMN daily_competitors.by_customer IS 'Mentions by customers.';
COMMENT ON COLUMN daily_competitors.by_agent IS 'Mentions by agents.';
COMMENT ON COLUMN daily_competitors.positive IS 'Positive mentions.';
COMMENT ON COLUMN daily_competitors.neutral IS 'Neutral mentions.';
COMMENT ON COLUMN daily_competitors.negative IS 'Negative mentions.';
COMMENT ON COLUMN daily_competitors.mixed IS 'Mentions with contradictory evidence.';
COMMENT ON COLUMN daily_competitors.mean_score IS 'Mean score of the judged mentions, -1 to 1.';
COMMENT ON COLUMN daily_competitors.share_of_mentions IS
    'Part of all mentions of that day, 0 to 1.';
COMMENT ON COLUMN daily_competitors.share_of_calls IS
    'Part of all completed calls of that day, 0 to 1.';
COMMENT ON COLUMN daily_competitors.customer_score IS
    'Mean score of the mentions by customers, or by unknown speakers, -1 to 1.';
COMMENT ON COLUMN daily_competitors.agent_score IS
    'Mean score of the mentions by agents, -1 to 1.';

CREATE TABLE daily_agents (
    day             date NOT NULL,
    agent           text NOT NULL,
    competitor      text NOT NULL,
    calls           integer NOT NULL,
    mentions        integer NOT NULL,
    by_agent        integer NOT NULL,
    by_customer     integer NOT NULL,
    positive        integer NOT NULL,
    negative        integer NOT NULL,
    mean_score      double precision,
    customer_score  double precision,
    agent_score     double precision,
    PRIMARY KEY (day, agent, competitor)
);
COMMENT ON TABLE daily_agents IS 'Competitors by agent and day.';
COMMENT ON COLUMN daily_agents.day IS 'Day of the calls, in the time zone of days.';
COMMENT ON COLUMN daily_agents.agent IS 'The agent, from the names of the recordings.';
COMMENT ON COLUMN daily_agents.competitor IS 'The competitor.';
COMMENT ON COLUMN daily_agents.calls IS 'Calls of the agent with a mention.';
COMMENT ON COLUMN daily_agents.mentions IS 'Mentions in these calls.';
COMMENT ON COLUMN daily_agents.by_agent IS 'Mentions by the agent.';
COMMENT ON COLUMN daily_agents.by_customer IS 'Mentions by customers.';
COMMENT ON COLUMN daily_agents.positive IS 'Positive mentions.';
COMMENT ON COLUMN daily_agents.negative IS 'Negative mentions.';
COMMENT ON COLUMN daily_agents.mean_score IS 'Mean score, -1 to 1.';
COMMENT ON COLUMN daily_agents.customer_score IS
    'Mean score of the mentions by customers, or by unknown speakers, -1 to 1.';
COMMENT ON COLUMN daily_agents.agent_score IS 'Mean score of the mentions by the agent, -1 to 1.';

CREATE TABLE idempotent_requests (
    key_hash     text PRIMARY KEY,
    fingerprint  text NOT NULL,
    holder       text NOT NULL,
    held_until   timestamptz NOT NULL,
    answer       jsonb,
    begun_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idempotent_requests_by_age ON idempotent_requests (begun_at);
COMMENT ON TABLE idempotent_requests IS 'Requests with an Idempotency-Key, kept for two days.';
COMMENT ON COLUMN idempotent_requests.key_hash IS
    'SHA-256 of the client, the endpoint and the key.';
COMMENT ON COLUMN idempotent_requests.fingerprint IS 'SHA-256 of the request.';
COMMENT ON COLUMN idempotent_requests.holder IS
    'The process that handles the request, exclusively until held_until.';
COMMENT ON COLUMN idempotent_requests.answer IS 'The response; null until the request is handled.';

-- Retention periods start when a call first ends: processing it again does not extend them.
CREATE FUNCTION set_first_ended_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.first_ended_at := NEW.completed_at;
    RETURN NEW;
END
$$;
CREATE TRIGGER set_first_ended_at BEFORE UPDATE OF completed_at ON calls FOR EACH ROW
    WHEN (NEW.completed_at IS NOT NULL AND OLD.first_ended_at IS NULL)
    EXECUTE FUNCTION set_first_ended_at();

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
COMMENT ON TABLE api_keys IS
    'API keys of programs. Only a hash of the secret is stored; revoked keys are kept as a record.';
COMMENT ON COLUMN api_keys.last_used_at IS 'Accurate to about a minute.';
COMMENT ON COLUMN api_keys.created_by IS 'User and machine that ran the command.';

CREATE TABLE web_users (
    user_name      text PRIMARY KEY CHECK (user_name <> ''),
    role           text NOT NULL CHECK (role IN ('reader', 'user', 'admin')),
    password_hash  text NOT NULL CHECK (password_hash LIKE 'scrypt:%'),
    is_enabled     boolean NOT NULL DEFAULT true,
    made_by        text NOT NULL,
    made_at        timestamptz NOT NULL DEFAULT now(),
    changed_by     text NOT NULL,
    changed_at     timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE web_users IS
    'Users who are managed in the app, beside those of the settings. Passwords are hashed.';
COMMENT ON COLUMN web_users.is_enabled IS 'A disabled user cannot log in.';

CREATE TABLE web_sessions (
    session_sha256  bytea PRIMARY KEY CHECK (octet_length(session_sha256) = 32),
    user_name       text NOT NULL,
    password_mark   bytea NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    seen_at         timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz NOT NULL
);
CREATE INDEX web_sessions_by_end ON web_sessions (expires_at);
COMMENT ON TABLE web_sessions IS 'Sessions of the web app. Only a hash of the cookie is stored.';
COMMENT ON COLUMN web_sessions.password_mark IS
    'Keyed hash of the password at login: a new password ends the session.';
COMMENT ON COLUMN web_sessions.seen_at IS 'Last request; accurate to about a minute.';

CREATE TABLE audit_log (
    entry_id  uuid PRIMARY KEY,
    at        timestamptz NOT NULL,
    action    text NOT NULL CHECK (action IN
              ('listened', 'read', 'exported', 'uploaded', 'corrected', 'erased', 'changed',
               'operated')),
    actor     text NOT NULL,
    method    text NOT NULL,
    address   text,
    what      text NOT NULL,
    target    text
);
CREATE INDEX audit_log_by_time ON audit_log (at DESC);
CREATE INDEX audit_log_by_target ON audit_log (target, at DESC) WHERE target IS NOT NULL;
COMMENT ON TABLE audit_log IS
    'Who listened to, read, exported, corrected, erased or changed what. Rows are never changed.';
COMMENT ON COLUMN audit_log.actor IS
    'User, API key, or user and machine of a command.';
COMMENT ON COLUMN audit_log.method IS
    'How the actor is known: login, proxy, key, loopback or command.';
COMMENT ON COLUMN audit_log.address IS 'Address of the client; null if unknown.';
COMMENT ON COLUMN audit_log.what IS 'Route or command.';
COMMENT ON COLUMN audit_log.target IS
    'The call; null for other things. Not a foreign key: entries outlive calls.';

CREATE VIEW audit_entries AS
SELECT at, action, actor, method, address, what, target AS call_id FROM audit_log;
COMMENT ON VIEW audit_entries IS
    'The audit log, for auditors: GRANT USAGE ON SCHEMA callpipeline and SELECT on this view.';

CREATE TABLE saved_views (
    view_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL CHECK (name <> ''),
    page       text NOT NULL CHECK (page IN ('overview', 'calls', 'analytics', 'moments', 'search',
                                             'competitors', 'competitor')),
    filters    jsonb NOT NULL,
    extras     jsonb NOT NULL,
    days       integer CHECK (days BETWEEN 1 AND 3660),
    is_shared  boolean NOT NULL,
    owner      text NOT NULL,
    made_by    text,
    made_at    timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX saved_views_by_name ON saved_views (owner, lower(name));
CREATE INDEX saved_views_shared ON saved_views (view_id) WHERE is_shared;
COMMENT ON TABLE saved_views IS
    'Filters of pages under a name, for the person who saved them or for all.';
COMMENT ON COLUMN saved_views.filters IS 'The filters, without those that match all.';
COMMENT ON COLUMN saved_views.extras IS
    'Other parameters of the page, such as the words of a search: [[name, value]].';
COMMENT ON COLUMN saved_views.days IS
    'The view is about this many days up to the day it is opened; null if its days are fixed.';
COMMENT ON COLUMN saved_views.owner IS
    'The visitor who saved it: a user, an API key, or the machine itself.';

CREATE TABLE weekly_reports (
    view_id      bigint PRIMARY KEY REFERENCES saved_views ON DELETE CASCADE,
    weekday      integer NOT NULL CHECK (weekday BETWEEN 1 AND 7),
    at           time NOT NULL,
    has_quotes   boolean NOT NULL,
    set_by       text,
    set_at       timestamptz NOT NULL DEFAULT now(),
    reported_on  date
);
COMMENT ON TABLE weekly_reports IS
    'When the weekly report of a shared view is sent by email, in the time zone of days.';
COMMENT ON COLUMN weekly_reports.weekday IS 'Monday is 1, Sunday is 7.';
COMMENT ON COLUMN weekly_reports.has_quotes IS
    'Whether quotes are sent, if emails may have them.';
COMMENT ON COLUMN weekly_reports.set_at IS
    'The first report is of the next such hour after this time.';
COMMENT ON COLUMN weekly_reports.reported_on IS
    'The day of the last report that was added to the outbox.';

-- Read models of the web pages: narrow tables without joins, maintained by triggers in the
-- transaction of the change.
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
    'Read model of calls for lists and charts; triggers on calls and recordings maintain it.';
COMMENT ON COLUMN reading_calls.agent IS 'Agent in lower case; empty if unknown.';
COMMENT ON COLUMN reading_calls.agent_name IS 'Agent as written in the metadata.';
COMMENT ON COLUMN reading_calls.name IS 'Key of the recording in lower case.';

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
    switching   text,
    state          text NOT NULL,
    took_place_at  timestamptz NOT NULL,
    PRIMARY KEY (call_id, mention_id),
    FOREIGN KEY (call_id, mention_id) REFERENCES mentions ON DELETE CASCADE
);
COMMENT ON TABLE reading_mentions IS
    'Read model of counted mentions for charts; triggers on mentions, sentiment and calls maintain it.';
COMMENT ON COLUMN reading_mentions.stance IS 'The sentiment, or unjudged.';
COMMENT ON COLUMN reading_mentions.switching IS 'The switching intent; null if there is none.';
COMMENT ON COLUMN reading_mentions.state IS 'The state of the call.';

CREATE FUNCTION read_call_mentions(which text, mention text DEFAULT NULL)
RETURNS void LANGUAGE sql SET search_path = callpipeline AS $$
    INSERT INTO reading_mentions
    SELECT m.call_id, m.mention_id, c.day, c.agent, c.source, m.competitor, m.speaker,
           coalesce(s.sentiment, 'unjudged'), s.score, s.switching, c.state, c.took_place_at
    FROM mentions m JOIN reading_calls c USING (call_id)
    LEFT JOIN sentiment s USING (call_id, mention_id)
    WHERE m.call_id = which AND (mention IS NULL OR m.mention_id = mention)
      AND m.status = 'counted' AND c.state NOT IN ('DUPLICATE', 'ERASED')
$$;

-- The one definition of share of voice: views, marts, pages and the API use it.
CREATE FUNCTION share_of_voice(mentions bigint, all_mentions numeric)
RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT mentions::double precision / nullif(all_mentions, 0)
$$;
COMMENT ON FUNCTION share_of_voice IS
    'Return the part of all counted mentions that are about one competitor, 0 to 1.';

CREATE FUNCTION read_call() RETURNS trigger LANGUAGE plpgsql
SET search_path = callpipeline AS $$
DECLARE
    at timestamptz := coalesce(NEW.started_at, NEW.last_modified);
    before reading_calls;
    after reading_calls;
BEGIN
    SELECT * INTO before FROM reading_calls WHERE call_id = NEW.call_id;
    INSERT INTO reading_calls VALUES (
        NEW.call_id, NEW.state, NEW.created_at, at, call_day(at),
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
    ELSIF (before.state, before.took_place_at) <> (after.state, after.took_place_at) THEN
        UPDATE reading_mentions SET state = after.state, took_place_at = after.took_place_at
        WHERE call_id = NEW.call_id;
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
        score = CASE WHEN TG_OP <> 'DELETE' THEN NEW.score END,
        switching = CASE WHEN TG_OP <> 'DELETE' THEN NEW.switching END
    WHERE call_id = coalesce(NEW.call_id, OLD.call_id)
      AND mention_id = coalesce(NEW.mention_id, OLD.mention_id);
    RETURN NULL;
END
$$;

CREATE INDEX reading_calls_by_age ON reading_calls (created_at DESC, call_id DESC);
CREATE INDEX reading_calls_by_time
    ON reading_calls (took_place_at DESC, call_id DESC);
CREATE INDEX reading_calls_by_state ON reading_calls (state, took_place_at);
-- Covering indexes in the order of the groups, so that distinct calls are counted without sorting;
-- and in the order of lists, for the newest mentions and those of a few days.
CREATE INDEX reading_mentions_by_competitor ON reading_mentions (competitor, call_id)
    INCLUDE (day, agent, source, speaker, stance, score, state, switching);
CREATE INDEX reading_mentions_by_agent ON reading_mentions (agent, call_id)
    INCLUDE (day, competitor, source, speaker, stance, score, state, switching);
CREATE INDEX reading_mentions_by_day
    ON reading_mentions (day DESC, took_place_at DESC, call_id DESC, mention_id DESC)
    INCLUDE (agent, source, competitor, speaker, stance, score, state, switching);
CREATE INDEX reading_mentions_by_competitor_day
    ON reading_mentions (competitor, day DESC, took_place_at DESC, call_id DESC, mention_id DESC)
    INCLUDE (agent, source, speaker, stance, score, state, switching);
CREATE INDEX reading_mentions_switching
    ON reading_mentions (day DESC, took_place_at DESC, call_id DESC, mention_id DESC)
    INCLUDE (switching, agent, source, competitor, speaker, stance, state)
    WHERE switching IS NOT NULL;

CREATE TRIGGER read_call AFTER INSERT OR UPDATE OF
    state, created_at, started_at, last_modified, metadata, bucket, key
    ON calls FOR EACH ROW EXECUTE FUNCTION read_call();
CREATE TRIGGER read_recording AFTER INSERT OR UPDATE OF duration_s OR DELETE
    ON recordings FOR EACH ROW EXECUTE FUNCTION read_recording();
CREATE TRIGGER read_mention AFTER INSERT OR UPDATE
    ON mentions FOR EACH ROW EXECUTE FUNCTION read_mention();
CREATE TRIGGER read_sentiment AFTER INSERT OR UPDATE OR DELETE
    ON sentiment FOR EACH ROW EXECUTE FUNCTION read_sentiment();
