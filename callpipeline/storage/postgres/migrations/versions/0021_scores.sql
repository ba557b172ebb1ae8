ALTER TABLE callpipeline.mentions ADD COLUMN log_odds double precision;
ALTER TABLE callpipeline.mentions ADD COLUMN phrase text NOT NULL DEFAULT '';
COMMENT ON COLUMN callpipeline.mentions.log_odds IS
    'Log-odds from the context that an ambiguous name means the company; null for other names.';
COMMENT ON COLUMN callpipeline.mentions.phrase IS
    'The name with the next word, if that may belong to it ("clover house"); otherwise empty.';

ALTER TABLE callpipeline.reviews ADD COLUMN competitor text;
ALTER TABLE callpipeline.reviews ADD COLUMN log_odds double precision;
ALTER TABLE callpipeline.reviews ADD COLUMN phrase text NOT NULL DEFAULT '';
COMMENT ON COLUMN callpipeline.reviews.log_odds IS
    'Log-odds of the mention when it was decided on, if its name was ambiguous: an answer about the name.';
COMMENT ON COLUMN callpipeline.reviews.phrase IS 'Phrase of the mention when it was decided on.';
