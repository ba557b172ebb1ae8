-- Keep what was answered; returns it, or the answer that somebody else gave before.
UPDATE idempotent_requests SET answer = coalesce(answer, %(answer)s)
WHERE key_hash = %(key_hash)s AND fingerprint = %(fingerprint)s
RETURNING answer;
