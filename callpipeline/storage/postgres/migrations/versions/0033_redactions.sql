ALTER TABLE callpipeline.recordings ADD COLUMN withheld boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN callpipeline.recordings.withheld IS
    'Whether the audio can''t be played until numbers in it are muted, when it is transcribed.';

CREATE TABLE callpipeline.redactions (
    call_id   text NOT NULL REFERENCES callpipeline.calls ON DELETE CASCADE,
    position  integer NOT NULL,
    number    integer NOT NULL,
    kind      text NOT NULL CHECK (kind IN ('card', 'bank', 'phone', 'email')),
    channel   text NOT NULL CHECK (channel ~ '^(left|right|mixed|[1-9][0-9]?)$'),
    start_s   double precision NOT NULL,
    end_s     double precision NOT NULL,
    PRIMARY KEY (call_id, position)
);
COMMENT ON TABLE callpipeline.redactions IS
    'Numbers and addresses that were masked in transcripts and muted in audio.';
COMMENT ON COLUMN callpipeline.redactions.number IS
    'Distinguishes the numbers of a call: one that was said with an interruption has several rows.';

CREATE VIEW analytics.redactions AS
SELECT call_id, kind, count(DISTINCT number) AS redactions
FROM callpipeline.redactions GROUP BY call_id, kind;
COMMENT ON VIEW analytics.redactions IS
    'Numbers and addresses that were masked, by call and kind.';
COMMENT ON COLUMN analytics.redactions.call_id IS 'The call.';
COMMENT ON COLUMN analytics.redactions.kind IS 'Kind: card, bank, phone or email.';
COMMENT ON COLUMN analytics.redactions.redactions IS 'How many were masked.';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'callpipeline_analyst') THEN
        GRANT SELECT ON analytics.redactions TO callpipeline_analyst;
    END IF;
END
$$;
