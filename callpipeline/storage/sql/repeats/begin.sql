-- Note that a request is worked on; returns what is known of its key. It is the caller's where the
-- holder is: nobody had it, or whoever did is not heard of any more and left no answer.
INSERT INTO idempotent_requests AS known (key_hash, fingerprint, holder, held_until)
VALUES (%(key_hash)s, %(fingerprint)s, %(holder)s, now() + %(hold_s)s * interval '1 second')
ON CONFLICT (key_hash) DO UPDATE SET
    (holder, held_until) = (
        SELECT CASE WHEN is_free THEN excluded.holder ELSE known.holder END,
               CASE WHEN is_free THEN excluded.held_until ELSE known.held_until END
        FROM (SELECT known.fingerprint = excluded.fingerprint AND known.answer IS NULL
                     AND known.held_until <= clock_timestamp() AS is_free) AS looked)
RETURNING fingerprint, holder, answer;
