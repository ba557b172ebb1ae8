ALTER TABLE callpipeline.word_corrections
    ADD COLUMN segment_index integer,
    ADD COLUMN first_word integer,
    ADD COLUMN end_word integer;
COMMENT ON COLUMN callpipeline.word_corrections.segment_index IS
    'The corrected segment in the transcript of that time; null if only times are known.';
COMMENT ON COLUMN callpipeline.word_corrections.first_word IS
    'The first corrected word of the segment, after all earlier corrections.';
COMMENT ON COLUMN callpipeline.word_corrections.end_word IS
    'The word behind the last corrected one.';
