-- Note what is to be deleted of calls, while the ledger still knows where it is. Of what comes in
-- again after it was erased, the recording stays where that of the first one was to stay. Bytes
-- that nobody has read yet are to be read, but for those that turned out to be no sound.
INSERT INTO erasures (call_id, because, by_retention, keep_recording, bucket, key, etag, is_unread,
                      run_id)
SELECT c.call_id, %(because)s, %(by_retention)s,
       coalesce((SELECT first.keep_recording FROM erasures first JOIN calls f USING (call_id)
                 WHERE f.sha256 = c.sha256 AND f.state = 'ERASED' LIMIT 1), %(keep_recording)s),
       c.bucket, c.key, c.etag,
       NOT %(by_retention)s AND c.sha256 IS NULL AND c.state <> 'FAILED', c.claimed_by
FROM calls c WHERE c.call_id = ANY(%(call_ids)s);
