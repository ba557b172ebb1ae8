-- Forget requests that nobody sends again any more, some at a time.
DELETE FROM idempotent_requests WHERE key_hash IN (
    SELECT key_hash FROM idempotent_requests WHERE begun_at < now() - interval '48 hours'
    LIMIT 100 FOR UPDATE SKIP LOCKED);
