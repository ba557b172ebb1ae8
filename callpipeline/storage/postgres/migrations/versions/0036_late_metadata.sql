ALTER TABLE callpipeline.calls
    ADD COLUMN metadata_due_at timestamptz,
    ADD COLUMN beginning_sha256 text;
CREATE INDEX calls_by_metadata_due ON callpipeline.calls (metadata_due_at)
    WHERE metadata_due_at IS NOT NULL;
COMMENT ON COLUMN callpipeline.calls.metadata_due_at IS
    'When to look again for a metadata file that was not beside the recording yet; null if none is expected.';
COMMENT ON COLUMN callpipeline.calls.beginning_sha256 IS
    'Hash of a part near the beginning of the recording, read when it was discovered: a longer version has the same, another recording has not.';
