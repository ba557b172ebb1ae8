ALTER TABLE callpipeline.rematches ADD COLUMN paused_by text;
COMMENT ON COLUMN callpipeline.rematches.paused_by IS
    'The person or key that stopped it; null while it continues, and if unknown.';
