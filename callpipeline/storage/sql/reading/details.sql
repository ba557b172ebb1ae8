-- Of one call what lists do not show.
SELECT c.metadata, c.size_bytes, c.attempts, c.retries, c.priority, c.claimed_by, c.batch_id,
       r.container, r.codec, r.sample_rate_hz, r.channel_count, coalesce(r.flags, '[]') AS flags
FROM calls c LEFT JOIN recordings r USING (call_id) WHERE c.call_id = %(call_id)s;
