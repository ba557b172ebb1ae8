CREATE TABLE callpipeline.evaluations (
    evaluation_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject        text NOT NULL CHECK (subject IN ('mentions', 'sentiment')),
    versions       text NOT NULL,
    labels         text NOT NULL,
    outcomes       jsonb NOT NULL,
    numbers        jsonb NOT NULL,
    measured_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX evaluations_by_subject ON callpipeline.evaluations (subject, evaluation_id DESC);
COMMENT ON TABLE callpipeline.evaluations IS
    'Results of rules, list and engines on labels: the asset checks compare each with the one before.';
COMMENT ON COLUMN callpipeline.evaluations.versions IS
    'The versions that were evaluated: of list, rules and engine.';
COMMENT ON COLUMN callpipeline.evaluations.labels IS 'Hash of the labels.';
COMMENT ON COLUMN callpipeline.evaluations.outcomes IS
    'Whether the result was right, by the hash of the label.';
COMMENT ON COLUMN callpipeline.evaluations.numbers IS 'Scores: precision, recall and others.';
