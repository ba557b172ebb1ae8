-- Erasures that are not known to be finished, the one that was looked at longest ago first; whether
-- the run that was at work on the call may still write of it.
SELECT e.call_id, e.keep_recording, e.by_retention, e.bucket, e.key, e.etag, e.is_unread, e.trouble,
       e.asked_at, extract(epoch FROM now() - e.asked_at)::float AS age_s,
       EXISTS (SELECT FROM runs r WHERE r.run_id = e.run_id) AS is_under_way
FROM erasures e
WHERE e.verified_at IS NULL AND (%(call_ids)s::text[] IS NULL OR e.call_id = ANY(%(call_ids)s))
ORDER BY e.looked_at NULLS FIRST, e.asked_at, e.call_id LIMIT %(limit)s;
