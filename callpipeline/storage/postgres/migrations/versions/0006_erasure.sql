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

-- What was erased is known again by its id's hash of bucket, key and etag.
CREATE INDEX calls_erased ON calls (right(call_id, 12)) WHERE state = 'ERASED';
CREATE INDEX calls_by_content ON calls (sha256) WHERE sha256 IS NOT NULL;
-- By the name of the file, and by what it shares with a transcript beside it.
CREATE INDEX calls_by_file_name ON calls (regexp_replace(key, '^.*/', ''));
CREATE INDEX calls_by_stem ON calls (regexp_replace(key, '\.[^./]*$', ''));

-- What is kept for a time is kept from the first end on: to judge calls anew is no reason to keep
-- them longer.
ALTER TABLE calls ADD COLUMN first_ended_at timestamptz;
UPDATE calls SET first_ended_at = completed_at WHERE completed_at IS NOT NULL;
CREATE INDEX calls_by_end ON calls (first_ended_at) WHERE first_ended_at IS NOT NULL;
COMMENT ON COLUMN calls.first_ended_at IS
    'When the call was completed, or failed, for the first time.';
CREATE FUNCTION note_first_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.first_ended_at := NEW.completed_at;
    RETURN NEW;
END
$$;
CREATE TRIGGER note_first_end BEFORE UPDATE OF completed_at ON calls FOR EACH ROW
    WHEN (NEW.completed_at IS NOT NULL AND OLD.first_ended_at IS NULL)
    EXECUTE FUNCTION note_first_end();
