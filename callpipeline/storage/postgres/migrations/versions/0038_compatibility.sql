CREATE TABLE callpipeline.compatibility (
    oldest_schema text NOT NULL,
    only_row      boolean PRIMARY KEY DEFAULT true CHECK (only_row)
);
COMMENT ON TABLE callpipeline.compatibility IS
    'The oldest version of callpipeline that works with this schema: one row.';
COMMENT ON COLUMN callpipeline.compatibility.oldest_schema IS
    'The newest migration of that version. A migration that removes something raises it.';
INSERT INTO callpipeline.compatibility (oldest_schema) VALUES ('0038');
