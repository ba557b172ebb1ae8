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
    state            text NOT NULL DEFAULT 'PENDING'
                     CHECK (state IN ('PENDING', 'PROCESSING', 'COMPLETED', 'FAILED', 'ERASED')),
    batch_id         text,
    claimed_by       text,
    attempts         integer NOT NULL DEFAULT 0,
    error_stage      text,
    error_class      text,
    error_message    text,
    error_transient  boolean,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    completed_at     timestamptz,
    UNIQUE (bucket, key, etag),
    CHECK ((state = 'PROCESSING') = (claimed_by IS NOT NULL)),
    CHECK ((state = 'FAILED') = (error_message IS NOT NULL))
);
CREATE INDEX calls_by_state ON calls (state, created_at);
CREATE INDEX calls_by_content ON calls (sha256) WHERE sha256 IS NOT NULL;
COMMENT ON COLUMN calls.started_at IS 'When the call took place; null where nothing tells.';
COMMENT ON COLUMN calls.attempts IS
    'Runs that began to work on the call and have not ended in order since.';

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
    PRIMARY KEY (call_id, channel, segment_index),
    FOREIGN KEY (call_id, channel) REFERENCES transcripts ON DELETE CASCADE
);

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
    PRIMARY KEY (call_id, mention_id)
);
CREATE INDEX mentions_by_competitor ON mentions (competitor, status);
COMMENT ON COLUMN mentions.reason IS 'The rule that set the status, with the words it saw.';

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
