CREATE TABLE callpipeline.clock (
    seen_at   timestamptz NOT NULL,
    only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row)
);
COMMENT ON TABLE callpipeline.clock IS
    'When the reconciler last looked: one row. In the future if the clock was set back since.';
INSERT INTO callpipeline.clock (seen_at) VALUES (clock_timestamp());
