-- Lock a call that no run holds while something is kept beside its sound: these are its channels, of
-- which the sound is there still.
WITH call AS MATERIALIZED (
    SELECT call_id FROM calls
    WHERE call_id = %(call_id)s AND state IN ('COMPLETED', 'FAILED') FOR NO KEY UPDATE
)
SELECT channel, sha256 FROM channels JOIN call USING (call_id)
WHERE EXISTS (SELECT FROM stored_stages s WHERE s.call_id = call.call_id AND s.stage = 'channel_audio');
