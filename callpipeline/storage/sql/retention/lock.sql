-- Lock a call that has ended before a time: no run may take it while something of it is deleted.
SELECT call_id, bucket, key, etag,
       ARRAY(SELECT object_key FROM channels h WHERE h.call_id = c.call_id) AS channel_audio,
       ARRAY(SELECT channel FROM channels h WHERE h.call_id = c.call_id) AS channels,
       ARRAY(SELECT object_key FROM transcripts t WHERE t.call_id = c.call_id) AS transcripts
FROM calls c
WHERE call_id = %(call_id)s AND first_ended_at < %(older_than)s
  AND state IN ('COMPLETED', 'FAILED', 'DUPLICATE')
FOR UPDATE;
