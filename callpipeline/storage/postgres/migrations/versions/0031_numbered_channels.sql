ALTER TABLE callpipeline.channels
    DROP CONSTRAINT channels_channel_check,
    ADD CONSTRAINT channels_channel_check
        CHECK (channel ~ '^(left|right|mixed|[1-9][0-9]?)$');
ALTER TABLE callpipeline.transcripts
    DROP CONSTRAINT transcripts_channel_check,
    ADD CONSTRAINT transcripts_channel_check
        CHECK (channel ~ '^(left|right|mixed|[1-9][0-9]?)$');
COMMENT ON COLUMN analytics.channels.channel IS
    'left, right or mixed (mono); 1, 2, 3, … if more than two carry sound.';
COMMENT ON COLUMN analytics.segments.channel IS 'left, right, mixed, or a number.';
COMMENT ON COLUMN analytics.mentions.channel IS 'left, right, mixed, or a number.';
