ALTER TABLE callpipeline.segments
    ADD COLUMN voice smallint, ADD COLUMN voice_confidence double precision;
COMMENT ON COLUMN callpipeline.segments.voice IS
    'In a mono recording with two voices, 1 or 2 in order of first appearance; else null.';
COMMENT ON COLUMN callpipeline.segments.voice_confidence IS
    'Probability that the segment is of that voice.';

CREATE TABLE callpipeline.voices (
    call_id  text NOT NULL REFERENCES callpipeline.calls ON DELETE CASCADE,
    voice    smallint NOT NULL CHECK (voice IN (1, 2)),
    speaker  text NOT NULL CHECK (speaker IN ('agent', 'customer', 'unknown')),
    talk_s   double precision NOT NULL,
    PRIMARY KEY (call_id, voice)
);
COMMENT ON TABLE callpipeline.voices IS
    'The voices of a mono recording, with role and talk time.';

CREATE TABLE callpipeline.voice_decisions (
    decision_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    call_id      text NOT NULL REFERENCES callpipeline.calls ON DELETE CASCADE,
    agent_voice  smallint NOT NULL CHECK (agent_voice IN (1, 2)),
    decided_by   text,
    decided_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX voice_decisions_by_call ON callpipeline.voice_decisions (call_id, decision_id DESC);
COMMENT ON TABLE callpipeline.voice_decisions IS
    'Decisions of people on which voice is the agent; the last one of a call holds.';
