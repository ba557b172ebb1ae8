ALTER TABLE callpipeline.transcripts ADD COLUMN unheard_s double precision;
COMMENT ON COLUMN callpipeline.transcripts.unheard_s IS
    'Seconds of detected speech more than 1 s from any word; null if not measured.';

CREATE OR REPLACE VIEW analytics.channels AS
SELECT h.call_id, h.channel, h.speaker, h.duration_s, h.rms_dbfs AS loudness_dbfs,
       (SELECT coalesce(sum((i ->> 1)::float - (i ->> 0)::float), 0)
        FROM jsonb_array_elements(h.speech) AS i) AS speech_s,
       t.engine, t.language, t.word_count, t.confidence, t.reliable AS is_reliable, t.unheard_s
FROM callpipeline.channels h JOIN callpipeline.calls c USING (call_id)
LEFT JOIN callpipeline.transcripts t USING (call_id, channel)
WHERE c.state NOT IN ('DUPLICATE', 'ERASED');
COMMENT ON COLUMN analytics.channels.unheard_s IS
    'Seconds of speech more than 1 s from any word of the transcript; null if not measured, as for supplied transcripts.';
