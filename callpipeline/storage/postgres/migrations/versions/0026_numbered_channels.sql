ALTER TABLE callpipeline.channels
    DROP CONSTRAINT channels_channel_check,
    ADD CONSTRAINT channels_channel_check
        CHECK (channel ~ '^(left|right|mixed|[1-9][0-9]?)$');
ALTER TABLE callpipeline.transcripts
    DROP CONSTRAINT transcripts_channel_check,
    ADD CONSTRAINT transcripts_channel_check
        CHECK (channel ~ '^(left|right|mixed|[1-9][0-9]?)$');
