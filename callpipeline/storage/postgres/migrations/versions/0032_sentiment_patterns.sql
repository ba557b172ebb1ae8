CREATE TABLE callpipeline.sentiment_patterns (
    kind      text NOT NULL CHECK (kind IN ('positive', 'negative')),
    position  integer NOT NULL,
    pattern   text NOT NULL,
    PRIMARY KEY (kind, position)
);
COMMENT ON TABLE callpipeline.sentiment_patterns IS
    'Phrases of users that decide the sentiment of a mention before any judge.';
