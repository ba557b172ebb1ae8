CREATE TABLE callpipeline.refused_aliases (
    competitor  text NOT NULL,
    letters     text NOT NULL,
    alias       text NOT NULL,
    refused_by  text,
    refused_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (competitor, letters)
);
COMMENT ON TABLE callpipeline.refused_aliases IS
    'Sounds-like aliases that a person refused: `catalog suggest` does not propose them again.';
COMMENT ON COLUMN callpipeline.refused_aliases.letters IS
    'The alias in normal form without spaces, as all its spacings are one alias.';
