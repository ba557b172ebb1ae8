-- Note what is to be deleted of calls, while the ledger still knows where it is. Of what comes in
-- again after it was erased, the recording stays where that of the first one was to stay.
INSERT INTO erasures (call_id, because, by_retention, keep_recording, bucket, key, run_id)
SELECT c.call_id, %(because)s, %(by_retention)s,
       coalesce(first.keep_recording, %(keep_recording)s), c.bucket, c.key, c.claimed_by
FROM calls c LEFT JOIN erasures first ON first.call_id = c.duplicate_of
WHERE c.call_id = ANY(%(call_ids)s);
