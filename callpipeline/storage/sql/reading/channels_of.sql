-- The channels of calls, and where the sound and the transcript of each are.
SELECT h.call_id, h.channel, h.speaker, h.sample_rate_hz, h.duration_s, h.rms_dbfs, h.speech,
       h.object_key, t.object_key AS transcript_key, t.engine, t.language, t.word_count,
       t.confidence, t.reliable AS is_reliable
FROM channels h LEFT JOIN transcripts t USING (call_id, channel)
WHERE h.call_id = ANY(%(call_ids)s) ORDER BY h.call_id, h.channel;
