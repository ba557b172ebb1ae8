-- Registration: lanes, priorities and duplicates; operation: retries and signs of life.
ALTER TABLE calls
    ADD COLUMN duplicates    text NOT NULL DEFAULT 'link'
                             CHECK (duplicates IN ('link', 'process', 'refuse')),
    ADD COLUMN duplicate_of  text REFERENCES calls ON DELETE SET NULL,
    ADD COLUMN lane          text NOT NULL DEFAULT 'live' CHECK (lane IN ('live', 'bulk')),
    ADD COLUMN priority      smallint NOT NULL DEFAULT 0,
    ADD COLUMN batched_at    timestamptz,
    ADD COLUMN fruitless     integer NOT NULL DEFAULT 0,
    ADD COLUMN given_back    integer NOT NULL DEFAULT 0,
    ADD COLUMN retries       integer NOT NULL DEFAULT 0,
    ADD COLUMN not_before    timestamptz,
    DROP CONSTRAINT calls_state_check,
    DROP CONSTRAINT calls_check1,
    ADD CONSTRAINT calls_state_check CHECK (state IN
        ('PENDING', 'PROCESSING', 'COMPLETED', 'FAILED', 'DUPLICATE', 'ERASED')),
    ADD CONSTRAINT calls_failed_with_reason CHECK (state <> 'FAILED' OR error_message IS NOT NULL),
    ADD CONSTRAINT calls_done_without_error
        CHECK (error_message IS NULL OR state IN ('FAILED', 'PENDING')),
    ADD CONSTRAINT calls_duplicate_names_first
        CHECK (state = 'DUPLICATE' OR duplicate_of IS NULL);
-- When a run was asked for was not noted: at the last change of the call.
UPDATE calls SET batched_at = updated_at WHERE batch_id IS NOT NULL;
DROP INDEX calls_by_state, calls_by_content;
CREATE INDEX calls_by_state ON calls (state, updated_at);
CREATE INDEX calls_by_age ON calls (created_at DESC, key DESC);
CREATE INDEX calls_waiting ON calls (lane, priority DESC, created_at, call_id)
    WHERE state = 'PENDING' AND batch_id IS NULL;
CREATE INDEX calls_in_batches ON calls (batch_id) WHERE state = 'PENDING' AND batch_id IS NOT NULL;
CREATE INDEX calls_held ON calls (claimed_by) WHERE claimed_by IS NOT NULL;
CREATE INDEX calls_by_first ON calls (duplicate_of) WHERE duplicate_of IS NOT NULL;
COMMENT ON COLUMN calls.metadata IS
    'What the recording''s name tells, by the pattern of its source: agent, customer, direction, …';
COMMENT ON COLUMN calls.duplicate_of IS 'The call that was made of the same bytes before.';
COMMENT ON COLUMN calls.fruitless IS
    'Runs in a row that ended before the call did, through no fault of the call.';
COMMENT ON COLUMN calls.given_back IS
    'Of these in a row, those that had taken the call and gave it back.';
COMMENT ON COLUMN calls.retries IS 'Tries that ended in an error which another try may cure.';
COMMENT ON COLUMN calls.not_before IS 'A waiting call is not asked for before this time.';

-- Whose bytes these are: the one call that was made of them first.
CREATE TABLE contents (
    sha256   text PRIMARY KEY,
    call_id  text NOT NULL REFERENCES calls ON DELETE CASCADE
);
CREATE INDEX contents_by_call ON contents (call_id);
INSERT INTO contents (sha256, call_id)
    SELECT DISTINCT ON (sha256) sha256, call_id FROM calls
    WHERE sha256 IS NOT NULL AND state <> 'ERASED' ORDER BY sha256, created_at, call_id;
-- Of the others those that have results stay calls like any other, also when they are made anew.
UPDATE calls SET duplicates = 'process'
    WHERE state = 'COMPLETED' AND sha256 IS NOT NULL
      AND NOT EXISTS (SELECT FROM contents WHERE contents.call_id = calls.call_id);

-- Runs that hold calls. One that gives no sign of life is taken to be dead.
CREATE TABLE runs (
    run_id    text PRIMARY KEY,
    began_at  timestamptz NOT NULL DEFAULT now(),
    alive_at  timestamptz NOT NULL DEFAULT now()
);

-- What a run stored that died before it could say so.
CREATE INDEX call_stages_by_run ON call_stages (run_id);

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
